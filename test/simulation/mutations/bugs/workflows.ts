// Planted bugs of workflows: journal, replay, messages, cancellation, compensation, children.

import type { PlantedBug } from "../planted-bug.ts";

export const WORKFLOWS: readonly PlantedBug[] = [
  {
    name: "replay ignores the order of completion",
    breaks: "INV-8",
    file: "workflow/delivery-queue.ts",
    find: "    if (!this.#isStopped) this.#announced.shift()?.settle?.();\n",
    replace:
      "    const last = this.#announced.findLastIndex(({ settle }) => settle !== null);\n" +
      "    if (!this.#isStopped) this.#announced.splice(last, 1)[0]?.settle?.();\n",
    scenarios: ["races"],
  },
  {
    name: "results are delivered as soon as they are there",
    breaks: "INV-8",
    file: "workflow/delivery-queue.ts",
    find: "    announced.settle = settle;\n    this.#pump();\n",
    replace:
      "    this.giveUp(ordinal);\n" +
      "    this.#clock.afterTurn(() => {\n" +
      "      if (this.#isStopped) return;\n" +
      "      settle();\n" +
      "      this.#idle();\n" +
      "    });\n",
    scenarios: ["races"],
  },
  {
    name: "failed attempts of an activity are not counted over a crash",
    breaks: "attempts survive a take-over",
    file: "workflow/activity-step.ts",
    find: "let number = (recorded?.failures.length ?? 0) + 1;",
    replace: "let number = 1;",
    scenarios: ["races"],
  },
  {
    name: "a side effect does not wait for what it follows from",
    breaks: "INV-8",
    file: "workflow/execution.ts",
    find: "    if (this.#journal.writing !== null) return this.#journal.writing.then(this.#ready);\n",
    replace: "",
    scenarios: ["transfers", "races"],
  },
  {
    name: "an execution goes on after a write of its journal failed",
    breaks: "INV-8",
    file: "workflow/journal.ts",
    find: "    this.#options.failed(error);\n",
    replace: "    void error;\n",
    scenarios: ["transfers", "races"],
  },
  {
    name: "messages to an execution are handled at once and not in order",
    breaks: "INV-4",
    file: "contract/workflow-contract.ts",
    find: "new Set([SIGNAL, CANCEL, WATCH, WAKE]);",
    replace: "new Set();",
    scenarios: ["signal bursts"],
  },
  {
    name: "a signal does not wake a suspended execution",
    breaks: "INV-2",
    file: "workflow/execution-behavior.ts",
    find: '    } else if (state?.state === "pending") await services.hasten(state, fence);\n',
    replace:
      '    } else if (state?.state === "pending" && tag === WAKE) await services.hasten(state, fence);\n',
    scenarios: ["signals"],
  },
  {
    name: "a wake is lost that comes while an execution is put off",
    breaks: "INV-2",
    file: "entity/putting-off.ts",
    find: "      request.isHastened = true;\n",
    replace: "",
    scenarios: ["families", "children"],
  },
  {
    name: "a wake goes to a copy that is about to leave",
    breaks: "INV-2",
    file: "workflow/execution-behavior.ts",
    find: "=> tag !== WAKE && runner.receive(address.entityId, message);",
    replace: "=> runner.receive(address.entityId, message);",
    scenarios: ["families", "children"],
  },
  {
    name: "who watches an execution that ends at this moment is not woken",
    breaks: "INV-2",
    file: "workflow/execution-behavior.ts",
    find: 'if (state?.state !== "pending" || services.isHosted(state.requestId))',
    replace: 'if (state?.state !== "pending")',
    scenarios: ["families", "children"],
  },
  {
    name: "who watched an execution before it left memory is forgotten",
    breaks: "INV-2",
    file: "workflow/arrivals.ts",
    find: "    for (const message of inbox) this.add(message);\n",
    replace: "    for (const message of inbox) if (message.tag !== WATCH) this.add(message);\n",
    scenarios: ["families", "children"],
  },
  {
    name: "a cancellation is not journaled",
    breaks: "INV-8",
    file: "workflow/cancel-request.ts",
    find: '      recorder.deliver({ position: -1, kind: "cancel", name: "cancel", event }, () => {\n',
    replace: "      void (event, recorder, Promise.resolve()).then(() => {\n",
    scenarios: ["signals"],
  },
  {
    name: "which signals the code was given is forgotten",
    breaks: "INV-8",
    file: "workflow/recorded-run.ts",
    find: "      if (requestId !== null) consumed.add(requestId);\n",
    replace: "      void requestId;\n",
    scenarios: ["signals"],
  },
  {
    name: "compensations run in the order of their registration",
    breaks: "compensations run the last one first",
    file: "workflow/compensation.ts",
    find: "this.#registered.toReversed()",
    replace: "this.#registered",
    scenarios: ["signals"],
  },
  {
    name: "a transaction whose commit may come late is not kept from it",
    breaks: "INV-3",
    file: "workflow/journal.ts",
    find: "      if (isUnknown(error)) this.#options.unsettled([{ ...entry, event: BEGUN }]);\n",
    replace: "",
    scenarios: ["payments"],
  },
  {
    name: "a signal that was taken is forgotten as soon as its run is over",
    breaks: "INV-3",
    file: "workflow/execution-runner.ts",
    find: "answeredBefore: clock.now() - REPEATED_WITHIN_MS,",
    replace: "answeredBefore: clock.now(),",
    scenarios: ["signals"],
  },
  {
    name: "a write that may come late is made once more over a resumption",
    breaks: "INV-8",
    file: "workflow/execution-runner.ts",
    find: "(entry.ordinal <= anewAt ? nothingInPlaceOf(entry) : entry)",
    replace: "(entry.ordinal > Number.MAX_VALUE ? nothingInPlaceOf(entry) : entry)",
    scenarios: ["orders"],
  },
];
