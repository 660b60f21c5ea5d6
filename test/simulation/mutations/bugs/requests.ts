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
    name: "what runs ahead is answered before it is stored",
    breaks: "INV-6",
    file: "entity/request-runner.ts",
    find: "        request.ready = transaction === null ? reply : null;\n",
    replace:
      "        request.ready = transaction === null ? reply : null;\n" +
      '        if (reply !== null) this.#options.tell(request, { type: "reply", reply });\n',
    scenarios: ["counters"],
  },
  {
    name: "a copy of a request runs ahead",
    breaks: "INV-3",
    file: "entity/admission.ts",
    find: "return peer === HERE || this.#recent.add(requestId);",
    replace: "return true;",
    scenarios: ["counters"],
  },
  {
    name: "what its sender stored runs ahead",
    breaks: "INV-3",
    file: "entity/store-and-forward.ts",
    find: "    outgoing.sendings += 1;\n",
    replace: "",
    scenarios: ["counters"],
  },
  {
    name: "what runs ahead runs beside others",
    breaks: "INV-5",
    file: "entity/admission.ts",
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
    file: "entity/admission.ts",
    find: 'if (saved.outcome === "duplicate") {',
    replace: 'if (saved.outcome === "duplicate" && saved.existing.state !== "answered") {',
    scenarios: ["counters"],
  },
  {
    name: "a volatile request that came twice runs twice",
    breaks: "at most once",
    file: "entity/admission.ts",
    find: "if (isCopied && !this.#recent.add(`${envelope.requestId} ${sending}`)) return;",
    replace: "if (isCopied) this.#recent.add(`${envelope.requestId} ${sending}`);",
    scenarios: ["storms"],
  },
  {
    name: "a volatile request is sent again although it may have run",
    breaks: "at most once",
    file: "entity/delivery.ts",
    find: "    outgoing.target = null;\n    if (!envelope.persisted) {\n",
    replace: "    outgoing.target = null;\n    if (!envelope.persisted && this.#isClosed) {\n",
    scenarios: ["storms"],
  },
  {
    name: "a request that is withdrawn leaves what is behind it in place",
    breaks: "INV-4",
    file: "entity/admission.ts",
    find: "const behind = activation.mailbox.emptyAfter(request);",
    replace: "const behind = activation.mailbox.emptyAfter(request).slice(0, 0);",
    scenarios: ["bursts"],
  },
  {
    name: "a request runs although its acceptance failed",
    breaks: "INV-4",
    file: "entity/admission.ts",
    find: "    } catch (error) {\n      if (straight !== null) this.#withdraw(request, straight, shard);\n",
    replace: "    } catch (error) {\n      request.isAccepted = true;\n",
    scenarios: ["orders", "bursts"],
  },
  {
    name: "a shard that was not read yet takes requests straight",
    breaks: "INV-4",
    file: "entity/admission.ts",
    find: "const isOnlyStored = known !== undefined || isLater || shard.isUnread;",
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
    find: "if (this.#settled.has(requestId) || !sweep.covers(address.shardId)) continue;",
    replace: "if (!sweep.covers(address.shardId)) continue;",
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
];
