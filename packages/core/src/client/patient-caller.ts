import { PATIENT_HEADER } from "../data/envelope.ts";
import type { Caller } from "./caller.ts";

/**
 * For handlers, activities and workflows: what they make of an error may be recorded, so that a call of theirs waits where one
 * from outside is told that it is in vain for now.
 */
export function patientCaller(caller: Caller): Caller {
  return {
    call: (target, input, options) =>
      caller.call({ ...target, marks: { ...target.marks, [PATIENT_HEADER]: "" } }, input, options),
    notify: (target, input, options) => caller.notify(target, input, options),
    stream: (target, input, options) => caller.stream(target, input, options),
    lookUpByKey: (target, key, limits) => caller.lookUpByKey(target, key, limits),
  };
}
