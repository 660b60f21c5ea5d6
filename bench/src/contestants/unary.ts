import type { MethodDefinition } from "@grpc/grpc-js";

const asItIs = (bytes: Buffer): Buffer => bytes;

/** A call of gRPC with one request and one answer, both bytes that nobody encodes. */
export const UNARY: MethodDefinition<Buffer, Buffer> = {
  path: "/holdfast.bench.Echo/Unary",
  requestStream: false,
  responseStream: false,
  requestSerialize: asItIs,
  requestDeserialize: asItIs,
  responseSerialize: asItIs,
  responseDeserialize: asItIs,
};
