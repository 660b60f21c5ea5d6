/** Digits of a request id that are its time: the first 48 bits of a UUIDv7. */
const TIME_DIGITS = 12;

/** When a request was made, by its sender's clock: in milliseconds since 1970. */
export function timeOfRequestId(requestId: string): number {
  const time = Number.parseInt(requestId.slice(0, TIME_DIGITS), 16);
  return Number.isNaN(time) ? 0 : time;
}

/** What the ids of requests that were made at this time or later are not below, compared as texts, byte by byte. */
export function firstRequestIdOf(time: number): string {
  return Math.max(0, Math.ceil(time)).toString(16).padStart(TIME_DIGITS, "0");
}
