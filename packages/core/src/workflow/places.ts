// Places: what tells the steps of a run apart in the keys of what they do.
//
// A step's position does, until a step has failed: if the execution is resumed, that one is done anew, and what the code asks for
// then may be something else, or the same in another order. So from there on a step is known by what it asks for, and by how
// many asked for the same before it: the same call is one request, and another one at its position is another.

import { hashOf } from "../contract/key.ts";
import { encodePayload } from "../contract/payload.ts";
import type { StepRequest } from "./step.ts";

/** The characters of a hash that are kept: 128 bits. */
const HASH_LENGTH = 32;

export class Places {
  #from: number;
  /** How often each was asked for. Made with the first. */
  #asked: Map<string, number> | null = null;

  /** @param from how many steps the code had asked for when the first one failed; Infinity: none has */
  constructor(from: number) {
    this.#from = from;
  }

  /** A step has failed after the code had asked for so many. */
  failed(asked: number): void {
    this.#from = Math.min(this.#from, asked);
  }

  /** The place of the step that is asked for now. */
  next(position: number, { kind, name, content }: Pick<StepRequest, "kind" | "name" | "content">): string {
    if (position < this.#from || content === undefined) return String(position);
    const hash = hashOf(`${kind}\n${name}\n${textOf(content())}`).slice(0, HASH_LENGTH);
    this.#asked ??= new Map();
    const before = this.#asked.get(hash) ?? 0;
    this.#asked.set(hash, before + 1);
    return before === 0 ? hash : `${hash}.${before}`;
  }
}

/** What cannot be encoded is told apart by its name alone. */
function textOf(content: unknown): string {
  try {
    return encodePayload(content, "What a step asks for");
  } catch {
    return "";
  }
}
