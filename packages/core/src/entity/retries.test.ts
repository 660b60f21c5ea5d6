import { expect, it } from "vitest";
import { sampleRequest } from "../../test/sample-request.ts";
import { SeededRandom } from "../clock/seeded-random.ts";
import { VirtualClock } from "../clock/virtual-clock.ts";
import { rpc } from "../contract/rpc.ts";
import { HostedRequest } from "./hosted-request.ts";
import { Retries } from "./retries.ts";

function retrying() {
  const clock = new VirtualClock();
  const logger = { debug() {}, info() {}, warn() {}, error() {} };
  const retries = new Retries({ clock, random: new SeededRandom(1), logger });
  const request = new HostedRequest(
    { envelope: sampleRequest({ persisted: true }), rpc: rpc({ persisted: true }), input: 1 },
    { attempts: 1, attemptIsRecorded: false, isAccepted: true },
  );
  return { clock, retries, request };
}

it("a pause after many failures ends as soon as the shard moves, and leaves no timer behind", async () => {
  const { clock, retries, request } = retrying();
  let isOver = false;
  void retries.pause(request, 20).then(() => (isOver = true));
  await clock.advance(1_000);
  expect(isOver).toBe(false);
  request.end("moved", "its shard moved");
  await clock.settle();
  expect([isOver, clock.pending()]).toEqual([true, 0]);
});

it("what goes on where the shard moved is tried every second at least, however often it failed", async () => {
  const { clock, retries } = retrying();
  let isOver = false;
  void retries.rest(20).then(() => (isOver = true));
  await clock.advance(1_000);
  expect(isOver).toBe(true);
});
