import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { createTestCluster } from "../test-cluster.ts";
import type { TraceEvent } from "../trace.ts";
import { traceModel } from "./trace-model.ts";
import { tracePage } from "./trace-page.ts";

const details = {
  scenario: "till <&>",
  seed: 7,
  invariant: "exactly once",
  message: "order-1 was charged twice\nReplay it: simulate(scenario, { seed: 7 })",
  faults: [],
  only: { faults: [], operations: [] },
  traceHash: "",
};

function message(at: number, from: string, to: string, more: { copies?: number; delayMs?: number } = {}) {
  const of = { type: "message", message: "Till.charge", requestId: "r1", copies: 1, delayMs: 0 } as const;
  return { at, from, to, ...of, ...more };
}

const hostile = `</script><script>alert(1)</script><img src=x onerror="alert(2)">`;
const trace: readonly TraceEvent[] = [
  { at: 0, type: "process", runner: "runner-0", what: "started" },
  { at: 1, type: "note", who: "<i>me</i>", what: hostile },
  message(5, "test", "runner-0", { delayMs: 10 }),
  { at: 9, type: "storage", runner: "runner-0", operation: "saveRequest", outcome: "refused" },
];

describe("a trace page", () => {
  const page = tracePage({ ...details, trace });

  it("says the failure and how to replay it", () => {
    expect(page).toContain("order-1 was charged twice\nReplay it: simulate(scenario, { seed: 7 })");
    expect(page).toContain("seed <b>7</b>");
  });

  it("shows text of a trace as text", () => {
    expect(page).toContain("<b>till &#60;&#38;&#62;</b>");
    expect(page.match(/<script/gu)).toHaveLength(2);
    expect(page.match(/<\/script/gu)).toHaveLength(2);
    const { innerHTML, texts } = drawn(page);
    expect(innerHTML).not.toMatch(/<(?:i|img|script)\b/u);
    expect(texts.join("\n")).toContain("&#60;i&#62;me&#60;/i&#62;: &#60;/script&#62;&#60;script&#62;");
  });

  it("asks for nothing elsewhere", () => {
    expect(page).toContain("default-src 'none'");
    expect(tracePage({ ...details, trace: [] })).not.toMatch(/https?:|\bsrc=|\bhref=|import|url\((?!#)/u);
  });

  it("draws the kinds that are checked and the events that are asked for", () => {
    expect(drawn(page).texts).toContain("test → runner-0: Till.charge, +10 ms");
    expect(drawn(page, { kinds: ["storage"] }).texts).not.toContain("test → runner-0: Till.charge, +10 ms");
    expect(drawn(page, { wanted: "SAVEREQ" }).count).toBe("1 of 4 events");
  });
});

describe("a trace model", () => {
  it("knows which messages of a test cluster do not arrive", async () => {
    const events: TraceEvent[] = [];
    await using cluster = await createTestCluster({ runners: 3, trace: (event) => events.push(event) });
    events.length = 0;
    cluster.cut([0], [1, 2]);
    await cluster.advance("2s");
    cluster.heal();
    await cluster.crash(2);
    await cluster.advance("2s");
    const { lanes, rows } = traceModel(events);
    expect(lanes).toEqual(["test", "runner-0", "runner-1", "runner-2"]);
    const lost = (from: string, to: string): readonly unknown[] => {
      const ways = rows.filter(({ event }) => "to" in event && event.from === from && event.to === to);
      return [...new Set(ways.map((row) => row.lost))];
    };
    expect(lost("runner-0", "runner-1")).toEqual(["cut off", null]);
    expect(lost("runner-1", "runner-0")).toEqual([null]);
    expect(lost("runner-1", "runner-2")).toEqual([null, "nobody there"]);
  });

  it("knows from when to when a test cluster has a fault", async () => {
    const events: TraceEvent[] = [];
    await using cluster = await createTestCluster({ runners: 2, trace: (event) => events.push(event) });
    const began = cluster.now();
    cluster.skew(1, 500);
    cluster.faults({ drop: 0.5 });
    cluster.partition([0], [1]);
    await cluster.pause(0);
    await cluster.advance("1s");
    cluster.faults({ storageErrorBeforeCommit: 1 }, [1]);
    cluster.heal();
    cluster.partition([0], [1]); // the same goes on
    await cluster.resume(0);
    await cluster.advance("1s");
    cluster.faults({});
    cluster.skew(1, 0);
    cluster.heal();
    await cluster.advance("1s");
    const { lanes, bands, bars } = traceModel(events);
    const secondOf = (index: number): number => ((events[index]?.at ?? Infinity) - began) / 1_000;
    expect(
      bands.map(({ what, from, to, lanes: of }) => [
        what,
        secondOf(from),
        secondOf(to),
        of.map((lane) => lanes[lane]),
      ]),
    ).toEqual([
      ["clock 500 ms off", 0, 2, ["runner-1"]],
      ["drop:0.5", 0, 2, ["test", "runner-0", "runner-1"]],
      ["partition of 0 from 1", 0, 2, ["runner-0", "runner-1"]],
      ["storageErrorBeforeCommit:1", 1, 2, ["runner-1"]],
    ]);
    expect(bars.map(({ state, from, to }) => [state, secondOf(from), secondOf(to)])).toEqual([
      ["stopped", 0, 1],
    ]);
  });

  it("lets a delayed message arrive at its time, and a lost one not at all", () => {
    const { rows } = traceModel([
      message(0, "test", "runner-0", { delayMs: 10 }),
      message(1, "test", "runner-0", { copies: 0 }),
      message(9, "test", "runner-0"),
      message(11, "test", "runner-0"),
    ]);
    expect(rows.map(({ end, lost }) => [end, lost])).toEqual([
      [2, null],
      [1, "lost"],
      [2, null],
      [3, null],
    ]);
  });

  it("counts from the beginning of the run", () => {
    expect(traceModel(trace, 5).rows.map(({ ms }) => ms)).toEqual([-5, -4, 0, 4]);
  });
});

/** Runs the script of a page on as much of a document as it uses. */
function drawn(
  page: string,
  { kinds = ["note", "process", "fault", "message", "storage", "lease"], wanted = "" } = {},
): { readonly innerHTML: string; readonly texts: readonly string[]; readonly count: string } {
  const [, data = "", script = ""] =
    /<script type="application\/json" id="model">(.*?)<\/script>\s*<script>(.*?)<\/script>/su.exec(page) ??
    [];
  const blank = { value: "", clientHeight: 900, scrollTop: 0, style: {}, addEventListener: () => undefined };
  const elements = new Map<string, { innerHTML: string; textContent: string }>();
  const element = (more: object): { innerHTML: string; textContent: string } => ({
    innerHTML: "",
    textContent: "",
    ...blank,
    ...more,
  });
  const find = (selectors: string): { innerHTML: string; textContent: string } => {
    const found = elements.get(selectors) ?? element({});
    elements.set(selectors, found);
    return found;
  };
  elements.set("#model", element({ textContent: data }));
  elements.set("#wanted", element({ value: wanted }));
  runInNewContext(script, {
    document: {
      defaultView: element({}),
      querySelector: find,
      querySelectorAll: () => kinds.map((value) => element({ value, checked: true })),
    },
  });
  const { innerHTML } = find("#stage");
  const texts = [...innerHTML.matchAll(/<text[^>]*>([^<]*)</gu)].map(([, text = ""]) => text);
  return { innerHTML, texts, count: find("#count").textContent };
}
