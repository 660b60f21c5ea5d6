import { messageClaims } from "./message-claims.ts";
import { messageDeadLetters } from "./message-dead-letters.ts";
import { messagePending } from "./message-pending.ts";
import { messageReadyReplies } from "./message-ready-replies.ts";
import { messageReplies } from "./message-replies.ts";
import { messageRequests } from "./message-requests.ts";
import { messageTransactions } from "./message-transactions.ts";
import type { StorageFactory } from "./storage-backend.ts";
import { storageLifecycle } from "./storage-lifecycle.ts";
import { suiteArguments } from "./suite-arguments.ts";
import { vitest } from "./vitest-api.ts";

/** Defines the vitest cases that every MessageStorage must pass: one for each sentence of the interface, and more. */
export function messageStorageConformance(factory: StorageFactory): void;
export function messageStorageConformance(name: string, factory: StorageFactory): void;
export function messageStorageConformance(
  nameOrFactory: string | StorageFactory,
  factory?: StorageFactory,
): void {
  const { describe } = vitest();
  const [name, make] = suiteArguments(
    "messageStorageConformance",
    "a MessageStorage",
    nameOrFactory,
    factory,
  );
  describe(name, () => {
    messageClaims(make);
    messageRequests(make);
    messagePending(make);
    messageReadyReplies(make);
    messageReplies(make);
    messageDeadLetters(make);
    messageTransactions(make);
    storageLifecycle(make);
  });
}
