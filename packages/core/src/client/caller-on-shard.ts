import type { ShardId } from "../data/shard-id.ts";
import type { Caller, CallTarget } from "./caller.ts";

/** For the handlers that run on a shard: while it is about to move, what they call on it is handled where they are. */
export function callerOnShard(caller: Caller, fromShard: ShardId): Caller {
  const from = (target: CallTarget): CallTarget => ({ ...target, fromShard });
  return {
    call: (target, input, options) => caller.call(from(target), input, options),
    notify: (target, input, options) => caller.notify(from(target), input, options),
    stream: (target, input, options) => caller.stream(from(target), input, options),
    lookUpByKey: (target, key, limits) => caller.lookUpByKey(target, key, limits),
  };
}
