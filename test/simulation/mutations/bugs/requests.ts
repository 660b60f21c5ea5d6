// Planted bugs of requests: acceptance, deduplication, order, attempts, and what finds work again.

import type { PlantedBug } from "../planted-bug.ts";

export const REQUESTS: readonly PlantedBug[] = [
  {
    name: "the reply leaves before its record",
    breaks: "INV-6",
    file: "entity/request-runner.ts",
    find: "      const recorded = await this.#outcomes.record(request, reply, fence, reply.exit.ok ? transaction : null);\n",
    replace:
      '      this.#options.tell(request, { type: "reply", reply });\n' +
      "      const recorded = await this.#outcomes.record(request, reply, fence, reply.exit.ok ? transaction : null);\n",
    scenarios: ["draws"],
  },
  {
    name: "a copy of a request runs ahead",
    breaks: "INV-3",
    file: "entity/admission.ts",
    find: "return (peer === HERE || this.#options.newest.note(envelope)) && sending === 0;",
    replace: "return sending === 0;",
    scenarios: ["counters"],
  },
  {
    name: "what runs ahead runs beside others",
    breaks: "INV-5",
    file: "entity/persisted-admission.ts",
    find: "      isFree &&\n",
    replace: "",
    scenarios: ["counters"],
  },
  {
    name: "requests are not compared by id",
    breaks: "INV-3",
    file: "memory/memory-requests.ts",
    find: "if (known !== undefined || deduplicationKey === null) return known;",
    replace: "if (deduplicationKey === null) return undefined;",
    scenarios: ["bursts"],
  },
  {
    name: "requests are not compared by key",
    breaks: "INV-3",
    file: "memory/memory-requests.ts",
    find: "    return this.withKey(address, tag, deduplicationKey);\n",
    replace: "    return undefined;\n",
    scenarios: ["counters"],
  },
  {
    name: "what was answered runs again when it is sent again",
    breaks: "INV-3",
    file: "entity/persisted-admission.ts",
    find: 'if (saved.outcome === "duplicate") {',
    replace: 'if (saved.outcome === "duplicate" && saved.existing.state !== "answered") {',
    scenarios: ["counters"],
  },
  {
    name: "a volatile request that came twice runs twice",
    breaks: "at most once",
    file: "entity/admission.ts",
    find: "if (mayBeCopy && !this.#recent.add(`${envelope.requestId} ${sending}`)) return;",
    replace: "if (mayBeCopy) this.#recent.add(`${envelope.requestId} ${sending}`);",
    scenarios: ["storms"],
  },
  {
    name: "a volatile request is sent again although it may have run",
    breaks: "at most once",
    file: "entity/delivery.ts",
    find: "    outgoing.target = null;\n    if (!envelope.persisted) {\n",
    replace: "    outgoing.target = null;\n    if (!envelope.persisted && this.#closedAs !== null) {\n",
    scenarios: ["storms"],
  },
  {
    name: "a request that is withdrawn leaves what is behind it in place",
    breaks: "INV-4",
    file: "entity/persisted-admission.ts",
    find: "const behind = activation.mailbox.emptyAfter(request);",
    replace: "const behind = activation.mailbox.emptyAfter(request).slice(0, 0);",
    scenarios: ["bursts"],
  },
  {
    name: "a request runs although its acceptance failed",
    breaks: "INV-4",
    file: "entity/persisted-admission.ts",
    find: "    } catch (error) {\n      if (straight !== null) this.#withdraw(request, straight, shard);\n",
    replace: "    } catch (error) {\n      request.isAccepted = true;\n",
    scenarios: ["orders", "bursts"],
  },
  {
    name: "a shard that was not read yet takes requests straight",
    breaks: "INV-4",
    file: "entity/persisted-admission.ts",
    find: "const isOnlyStored = known !== undefined || isLater || shard.isUnreadFor(address);",
    replace: "const isOnlyStored = known !== undefined || isLater;",
    scenarios: ["bursts"],
  },
  {
    name: "nobody is told to read first what its sender stored",
    breaks: "INV-4",
    file: "entity/delivery.ts",
    find: "const readPendingFirst = outgoing.readsUpTo !== null;",
    replace: "const readPendingFirst = false;",
    scenarios: ["cut senders"],
  },
  {
    name: "a request overtakes one whose acceptance is awaited",
    breaks: "INV-4",
    file: "entity/mailbox.ts",
    find: "return this.#waiting[0]?.isAccepted === true ? this.#waiting.shift() : undefined;",
    replace:
      "const index = this.#waiting.findIndex(({ isAccepted }) => isAccepted);\n" +
      "    return index === -1 ? undefined : this.#waiting.splice(index, 1)[0];",
    scenarios: ["bursts"],
  },
  {
    name: "polling by the last id seen",
    breaks: "INV-2",
    file: "entity/inbox.ts",
    find: "      const { requestId, address } = pending.envelope;\n",
    replace:
      "      const { requestId, address } = pending.envelope;\n" +
      "      if (pending.sequence <= (this.lastSeen ?? 0)) continue;\n" +
      "      this.lastSeen = pending.sequence;\n",
    scenarios: ["transfers"],
  },
  {
    name: "no polling",
    breaks: "INV-2",
    file: "entity/inbox.ts",
    find: "    if (this.#isClosed) return;\n    this.#poll = ",
    replace: "    if (!this.#isClosed) return;\n    this.#poll = ",
    scenarios: ["children"],
  },
  {
    name: "what ended while it was read is taken from the read",
    breaks: "INV-3",
    file: "entity/inbox.ts",
    find: "if (this.#settled.has(requestId) || !read.covers(address.shardId)) continue;",
    replace: "if (!read.covers(address.shardId)) continue;",
    scenarios: ["bursts", "storms"],
  },
  {
    name: "attempts are not recorded",
    breaks: "INV-2",
    file: "entity/request-runner.ts",
    find: "          await this.#options.messages.recordAttempt(request.id, request.attempts + 1, fence);\n",
    replace: "",
    scenarios: ["poison"],
  },
  {
    name: "waiters are not told that their shard left",
    breaks: "nothing hangs",
    file: "entity/shard-departure.ts",
    find: "    this.#releaseWaiters(shardIds);\n",
    replace: "",
    scenarios: ["timers"],
  },
  {
    name: "a lost request is not asked for",
    breaks: "nothing hangs",
    file: "entity/delivery.ts",
    find: '          this.#lost(outgoing, "the runner does not know it");\n',
    replace: "          return;\n",
    scenarios: ["storms"],
  },
  {
    name: "a handler's transaction is rolled back beside its reply",
    breaks: "INV-3",
    file: "entity/outcome-writer.ts",
    find: "          const recorded = await messages.saveReply(reply, fence, transaction);\n",
    replace:
      "          await transaction?.rollback();\n          const recorded = await messages.saveReply(reply, fence, null);\n",
    scenarios: ["payments"],
  },
];
