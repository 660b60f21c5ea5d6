import { HoldfastError } from "@holdfast/core/adapter";

/** A test cluster cannot do what it was asked for: its runner is dead or runs already, it does not settle, or is not there yet. */
export class TestClusterError extends HoldfastError {
  override readonly name = "TestClusterError";
  readonly code = "TEST_CLUSTER";

  // oxlint-disable-next-line no-useless-constructor
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
  }
}
