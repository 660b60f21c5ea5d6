/** What a member has done since it started. Plain numbers that only rise. */
export class Counters {
  /** Requests that were admitted to a mailbox here. */
  accepted = 0;
  /** Requests whose handler ended with a value. */
  succeeded = 0;
  /** Requests whose handler ended with an error. */
  failed = 0;
  /** Attempts after the first. */
  retried = 0;
  deadLettered = 0;
  /** Persisted requests answered from the recorded reply, or joined to the one under way. */
  duplicates = 0;
  /** Requests refused because a mailbox was full. */
  mailboxFull = 0;
  /** Writes that storage refused because the shard was claimed again. */
  fenced = 0;
  /** Put-off requests: executions that left memory. */
  suspended = 0;
  activations = 0;
  evictions = 0;
  /** Reads of pending work. */
  polls = 0;
}
