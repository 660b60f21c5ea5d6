// Requests that are sent without waiting for one another, to a storage that is slow and now and then loses an answer.
// Everything that it is asked to write is written, in the order of the calls: so that is the order of acceptance, which no
// caller could tell otherwise. And nothing begins again once its caller has the reply.

import { defineEntity, rpc } from "@holdfast/core";
import { checkOrder, Violation, type Handled, type Scenario, type SimulatedProcess } from "@holdfast/testing";

interface Line extends Handled {
  readonly lastsMs: number;
}

const List = defineEntity({
  name: "List",
  mailboxCapacity: 1_000,
  rpcs: { append: rpc<Line, void>({ persisted: true }) },
});
const SENDERS = 3;
const BURSTS = 24;
const SLOWEST_MS = 60;

export const bursts: Scenario = {
  name: "bursts",
  faults: [],
  duration: "10s",
  start(sim) {
    const handled: Handled[] = [];
    const answered = new Set<string>();
    let violation: Violation | null = null;
    return {
      // Nearly always, a read is under way.
      options: { storageMessageMaxRetries: 50, storagePollInterval: "40ms" },
      register: (process: SimulatedProcess) => [
        List.implement({
          async append(line) {
            const { sender, entity, number, lastsMs } = line;
            const key = `${sender}/${entity}/${number}`;
            if (answered.has(key))
              violation ??= new Violation("answered once", `${key} began again after it was answered`);
            handled.push({ sender, entity, number });
            if (lastsMs > 0) await process.sleep(lastsMs);
          },
        }),
      ],
      async run() {
        const { cluster } = sim;
        cluster.faults({
          storageDelay: [0, SLOWEST_MS],
          storageErrorAfterCommit: sim.integer(0, 25) / 100,
        });
        const lanes = Array.from({ length: SENDERS }, () => ({ sent: 0, last: Promise.resolve() }));
        await sim.operations(BURSTS, async (index) => {
          const lane = lanes[index % SENDERS];
          if (lane === undefined) return;
          const lines = Array.from(
            { length: sim.integer(1, 5) },
            () => sim.integer(0, 1) * sim.integer(0, 40),
          );
          const send = async (): Promise<void> => {
            const sending = lines.map(async (lastsMs, place) => {
              lane.sent += 1;
              const line = { sender: `${index % SENDERS}`, entity: "list", number: lane.sent, lastsMs };
              const list = cluster.entity(List, line.entity);
              if (place % 2 === 0) return list.append.notify(line);
              await list.append(line);
              answered.add(`${line.sender}/${line.entity}/${line.number}`);
            });
            await Promise.all(sending);
          };
          lane.last = lane.last.then(send);
          await lane.last;
        });
      },
      check() {
        if (violation !== null) throw violation;
        checkOrder(handled);
      },
    };
  },
};
