// Planted bugs of streamed replies.

import type { PlantedBug } from "../planted-bug.ts";

export const STREAMS: readonly PlantedBug[] = [
  {
    name: "chunks that were lost are not missed",
    breaks: "nothing hangs",
    file: "client/stream-wait.ts",
    find: "if (this.#queue.hasGapStill()) {",
    replace: "if (this.#queue.hasGapStill() && this.#timer === undefined) {",
    scenarios: ["streams"],
  },
  {
    name: "a chunk is forgotten before it is acknowledged",
    breaks: "a stream is whole",
    file: "entity/kept-chunks.ts",
    find: "await this.#messages.acknowledgeChunks(requestId, upTo);",
    replace: "await this.#messages.acknowledgeChunks(requestId, upTo + 1);",
    scenarios: ["streams"],
  },
  {
    name: "an attempt sends other chunks than the one before it did",
    breaks: "INV-6",
    file: "entity/stream-producer.ts",
    find: "      if (index >= saved) {\n",
    replace: "      if (index >= saved || request.envelope.persisted) {\n",
    scenarios: ["kept streams"],
  },
  {
    name: "chunks that overtook others are handed out as they come",
    breaks: "a stream is in order",
    file: "entity/stream.ts",
    find: "      const value = this.#buffered.get(this.#next);\n",
    replace:
      "      for (const index of [...this.#buffered.keys()].slice(0, 1)) this.#next = index;\n" +
      "      const value = this.#buffered.get(this.#next);\n",
    scenarios: ["streams"],
  },
  {
    name: "the producer does not wait for its consumer",
    breaks: "a stream is bounded",
    file: "entity/stream.ts",
    find: "if (index - this.#acknowledged >= CHUNK_WINDOW) return false;",
    replace: "if (index - this.#acknowledged >= 1_000 * CHUNK_WINDOW) return false;",
    scenarios: ["streams"],
  },
];
