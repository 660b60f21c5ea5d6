/** What a peer sent is no message of the members' protocol. Its connection is ended and counted; no caller sees this. */
export class ProtocolViolation extends Error {
  override readonly name = "ProtocolViolation";
  /** Whether it is a protocol, but another version of it. */
  readonly isVersion: boolean;

  constructor(message: string, options: ErrorOptions & { readonly isVersion?: boolean } = {}) {
    super(message, options);
    this.isVersion = options.isVersion ?? false;
  }
}
