/** How far one run of an execution's code is. The execution and its continuation move it on; their parts look. */
export class Progress {
  /** Whether the code was given everything that is recorded (E5 of execution.ts). */
  isCaughtUp = false;
  /** Whether this copy of the execution has ended (E4). */
  isStopped = false;
  /** Whether the next run is about to be recorded: what this one comes to after that is nobody's (continuation.ts). */
  isSuperseded = false;

  /** Whether nothing of this run counts any more. */
  get isOver(): boolean {
    return this.isStopped || this.isSuperseded;
  }
}
