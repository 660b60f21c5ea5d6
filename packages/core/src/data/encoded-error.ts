/** An error as it is stored and sent. `data` is an encoded payload: the error's own fields besides those named here. */
export interface EncodedError {
  readonly name: string;
  /** The name of its class, where that is another one: what `errors` of a definition lists are classes. */
  readonly className?: string;
  readonly message: string;
  readonly code: string | null;
  readonly stack: string | null;
  readonly data: string | null;
  readonly cause: EncodedError | null;
  /** True for an error of this library, which arrives as an instance of its class and not as a RemoteError. */
  readonly own: boolean;
}
