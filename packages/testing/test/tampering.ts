// Storage that does something else at the one moment that a test is about.

import {
  PersistenceError,
  type MessageStorage,
  type OpenStorage,
  type WorkflowStorage,
} from "@holdfast/core/adapter";

export function notWritten(operation: string): PersistenceError {
  return new PersistenceError({ operation, outcome: "not-written", detail: "told to" });
}

/** Whether it was written is not known. */
export function inDoubt(operation: string): PersistenceError {
  return new PersistenceError({ operation, outcome: "unknown", detail: "told to" });
}

/** What passes waits while it is closed. */
export class Door {
  #opened: Promise<void> | null = null;
  #open: () => void = () => undefined;
  #passes = 0;

  close(): void {
    this.#opened = new Promise((resolve) => (this.#open = resolve));
  }

  open(): void {
    this.#opened = null;
    this.#open();
  }

  /** Whoever comes from now on does not wait; who waits already does. */
  letPass(): void {
    this.#passes = Number.POSITIVE_INFINITY;
  }

  /** Whoever comes next does not wait; who waits already does. */
  letNextPass(): void {
    this.#passes += 1;
  }

  async passed(): Promise<void> {
    if (this.#passes > 0) this.#passes -= 1;
    else await this.#opened;
  }
}

export interface Tampered {
  readonly workflows?: Partial<WorkflowStorage>;
  readonly messages?: Partial<MessageStorage>;
}

/** Storage some of whose methods are others, which are given what they stand in for. */
export function tampering(
  methods: (storage: OpenStorage) => Tampered,
): (storage: OpenStorage) => OpenStorage {
  return (storage) => {
    const { workflows = {}, messages = {} } = methods(storage);
    return {
      workflows: withMethods(storage.workflows, workflows),
      messages: withMethods(storage.messages, messages),
      runners: storage.runners,
      close: () => storage.close(),
    };
  };
}

/** Storage whose appends to journals go by `meet`, which is given each of them, and the how manieth it is, from 1. */
export function appending(
  meet: (append: () => Promise<void>, number: number) => Promise<void>,
): (storage: OpenStorage) => OpenStorage {
  let count = 0;
  return tampering(({ workflows }) => ({
    workflows: {
      appendJournal(...args) {
        count += 1;
        return meet(() => workflows.appendJournal(...args), count);
      },
    },
  }));
}

/** Resolves when code that waits for nothing but what it was given has ended. */
export async function codeEnds(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise(setImmediate);
}

function withMethods<Target extends object>(target: Target, methods: Partial<Target>): Target {
  return new Proxy(target, {
    get(_target, property) {
      if (Object.hasOwn(methods, property)) return Reflect.get(methods, property);
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
