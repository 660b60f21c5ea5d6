// TraceModel: what a trace page draws, made of the events of a run.
//
// Says who there was, when each of them ran, which faults lasted from where to where, and what became of each message. Draws
// nothing (trace-page-script.ts). A moment is the index of an event: several happen at one time, in an order.

import type { TraceEvent } from "../trace.ts";

export interface TraceModel {
  /** A line each: of the notes, of the test's client, of the runners. */
  readonly lanes: readonly string[];
  readonly rows: readonly TraceRow[];
  readonly bars: readonly TraceBar[];
  readonly bands: readonly TraceBand[];
}

export type RowKind = TraceEvent["type"] | "routine";

/** One event. */
export interface TraceRow {
  readonly event: TraceEvent;
  /** `routine`: pings, polls and refreshes that are there also when nothing happens. */
  readonly kind: RowKind;
  /** Since the beginning. */
  readonly ms: number;
  readonly text: string;
  /** Those of one group are shown together: the request that a message concerns, or who notes. */
  readonly group: string | null;
  readonly lane: number | null;
  /** Where a message goes, after which event it arrives, and why it does not. */
  readonly to: number | null;
  readonly end: number;
  readonly lost: "lost" | "cut off" | "nobody there" | null;
}

/** A process did not run as it should, from one event to another. */
export interface TraceBar {
  readonly lane: number;
  readonly state: "down" | "stopped" | "leaving";
  readonly from: number;
  readonly to: number;
}

/** A fault of some processes, from one event to another. */
export interface TraceBand {
  readonly lanes: readonly number[];
  readonly kind: "network" | "rates" | "clock";
  readonly what: string;
  /** Between whom nothing arrives. */
  readonly ways: readonly string[];
  readonly from: number;
  readonly to: number;
}

const NOTES = "notes";
const ROUTINE: ReadonlySet<string> = new Set(["ping", "pong", "readPending", "listRunners", "refresh"]);

/** @param beganAt when the run began, as a wall time: that is 0 on the page */
export function traceModel(trace: readonly TraceEvent[], beganAt: number = trace[0]?.at ?? 0): TraceModel {
  const names = new Set(trace.flatMap(processesOf));
  const lanes = [...names].toSorted(
    (a, b) => Number(b === "test") - Number(a === "test") || a.length - b.length || (a < b ? -1 : 1),
  );
  if (trace.some(({ type }) => type === "note")) lanes.unshift(NOTES);
  const bars = barsOf(trace, lanes);
  const bands = bandsOf(trace, lanes);
  const rows = trace.map((event, index): TraceRow => {
    const row = {
      event,
      kind: kindOf(event),
      ms: event.at - beganAt,
      text: textOf(event),
      group: null,
      lane: event.type === "fault" ? null : lanes.indexOf(processesOf(event)[0] ?? NOTES),
      to: null,
      end: index,
      lost: null,
    };
    if (event.type === "note") return { ...row, group: event.who };
    if (event.type !== "message") return row;
    const end = event.delayMs === 0 ? index : lastUntil(trace, event.at + event.delayMs);
    const to = lanes.indexOf(event.to);
    const way = `${event.from} > ${event.to}`;
    const isCut = bands.some(({ ways, ...span }) => ways.includes(way) && during(span, end));
    const isDown = bars.some((bar) => bar.lane === to && bar.state === "down" && during(bar, end));
    const lost = event.copies === 0 ? "lost" : isCut ? "cut off" : isDown ? "nobody there" : null;
    return { ...row, group: event.requestId, to, end, lost };
  });
  return { lanes, rows, bars, bands };
}

function during(span: { readonly from: number; readonly to: number }, index: number): boolean {
  return span.from <= index && index < span.to;
}

function processesOf(event: TraceEvent): readonly string[] {
  if (event.type === "message") return [event.from, event.to];
  return "runner" in event ? [event.runner] : [];
}

function kindOf(event: TraceEvent): RowKind {
  if (event.type === "message") return ROUTINE.has(event.message) ? "routine" : "message";
  if (event.type !== "storage" && event.type !== "lease") return event.type;
  return ROUTINE.has(event.operation) && event.outcome === "done" ? "routine" : event.type;
}

function textOf(event: TraceEvent): string {
  switch (event.type) {
    case "message": {
      const copies = event.copies === 1 ? "" : event.copies === 0 ? ", lost" : `, one of ${event.copies}`;
      const delay = event.delayMs === 0 ? "" : `, +${Math.round(event.delayMs)} ms`;
      return `${event.from} → ${event.to}: ${event.message}${copies}${delay}`;
    }
    case "storage":
    case "lease":
      return `${event.runner}: ${event.operation}${event.outcome === "done" ? "" : `, ${event.outcome}`}`;
    case "process":
      return `${event.runner} ${event.what}`;
    case "fault":
      return event.what;
    case "note":
      return `${event.who}: ${event.what}`;
  }
}

/** The index of the last event until then. Events are in the order of time. */
function lastUntil(trace: readonly TraceEvent[], at: number): number {
  const next = trace.findIndex((event) => event.at > at);
  return (next === -1 ? trace.length : next) - 1;
}

type Open<Span> = { -readonly [Key in keyof Span]: Span[Key] };

function barsOf(trace: readonly TraceEvent[], lanes: readonly string[]): readonly TraceBar[] {
  const bars: TraceBar[] = [];
  const open = new Map<string, Open<TraceBar>>();
  const states: Record<string, TraceBar["state"]> = {
    crashed: "down",
    stopped: "stopped",
    leaves: "leaving",
  };
  for (const [index, event] of trace.entries()) {
    if (event.type !== "process") continue;
    const last = open.get(event.runner);
    const state = states[event.what];
    const isBack = event.what === "started" || (event.what === "goes on" && last?.state === "stopped");
    // What is done to a process that is not there changes nothing.
    if (!isBack && (state === undefined || last?.state === "down")) continue;
    if (last !== undefined) last.to = index;
    open.delete(event.runner);
    if (state === undefined) continue;
    const bar = { lane: lanes.indexOf(event.runner), state, from: index, to: trace.length };
    bars.push(bar);
    open.set(event.runner, bar);
  }
  return bars;
}

/** What an event says of faults: those of `of` are over, of everybody if null; `what` begins. */
interface FaultChange {
  readonly kind: TraceBand["kind"];
  readonly ends: "all" | "of the same" | "none";
  readonly of: readonly string[];
  readonly what: string | null;
  readonly ways?: readonly string[];
}

/** Reads what test-cluster.ts and test-runner.ts say of faults. */
function faultChangeOf(event: TraceEvent, everybody: readonly string[]): FaultChange | null {
  if (event.type === "process") {
    const off = /^has its wall clock (-?\d+) ms off$/u.exec(event.what)?.[1];
    if (off === undefined) return null;
    const what = off === "0" ? null : `clock ${off} ms off`;
    return { kind: "clock", ends: "of the same", of: [event.runner], what };
  }
  if (event.type !== "fault") return null;
  const rates = /^faults(?: of ([\d, ]+))?: \{(.*)\}$/u.exec(event.what);
  if (rates !== null) {
    const what = rates[2] === "" ? null : (rates[2]?.replaceAll('"', "") ?? null);
    if (rates[1] === undefined) return { kind: "rates", ends: "all", of: everybody, what };
    return { kind: "rates", ends: "of the same", of: runners(rates[1]), what };
  }
  const split = /^(partition of|cut from) ([\d, ]*?) ?(?:from|to) ?([\d, ]*)$/u.exec(event.what);
  if (split === null) return { kind: "network", ends: "all", of: [], what: null };
  const [one, other] = [runners(split[2]), runners(split[3])];
  const there = one.flatMap((from) => other.map((to) => `${from} > ${to}`));
  const back = one.flatMap((from) => other.map((to) => `${to} > ${from}`));
  const ways = split[1] === "cut from" ? there : [...there, ...back];
  return {
    kind: "network",
    ends: "none",
    of: [...one, ...other],
    what: ways.length === 0 ? null : event.what,
    ways,
  };
}

function runners(list = ""): readonly string[] {
  return (list.match(/\d+/gu) ?? []).map((each) => `runner-${each}`);
}

function bandsOf(trace: readonly TraceEvent[], lanes: readonly string[]): readonly TraceBand[] {
  const bands: Open<TraceBand>[] = [];
  for (const [index, event] of trace.entries()) {
    const change = faultChangeOf(
      event,
      lanes.filter((lane) => lane !== NOTES),
    );
    if (change === null) continue;
    const { kind, ends, what, ways = [] } = change;
    const of = change.of.map((name) => lanes.indexOf(name)).toSorted((a, b) => a - b);
    const alike = bands.filter((band) => band.kind === kind);
    const same = alike.filter((band) => band.lanes.join() === of.join());
    for (const band of ends === "all" ? alike : ends === "of the same" ? same : [])
      band.to = Math.min(band.to, index);
    if (what === null) continue;
    // A change of one fault sets the others anew: they go on.
    const goesOn = same.find((band) => band.what === what && trace[band.to]?.at === event.at);
    if (goesOn !== undefined) goesOn.to = trace.length;
    else bands.push({ lanes: of, kind, what, ways, from: index, to: trace.length });
  }
  return bands;
}
