// Screen: shows the cluster again and again, as a table that is drawn over itself on a terminal, as a line elsewhere.

/** One runner as it is shown. */
export interface RunnerLine {
  readonly name: string;
  readonly pid: number;
  readonly address: string;
  readonly state: string;
  readonly shards: number;
  /** Whether the client reaches it; null while it is no member. */
  readonly isReachable: boolean | null;
  /** Milliseconds that the slowest of its latest answers took; null: it owns no shard that could answer. */
  readonly answerMs: number | null;
}

export interface View {
  readonly progress: string;
  readonly runners: readonly RunnerLine[];
  readonly ownerless: number;
  readonly shards: number;
  readonly longestWithoutOwnerMs: number;
}

export interface ScreenOptions {
  readonly view: () => View;
  /** The last line of the table: what keys do. */
  readonly help: string;
  /** How often a line is printed where the output is no terminal. */
  readonly lineIntervalMs: number;
}

const REDRAW_MS = 250;
/** So many of the latest events stand under the table. */
const EVENTS = 6;

export class Screen {
  readonly #options: ScreenOptions;
  readonly #isTerminal = process.stdout.isTTY;
  readonly #events: string[] = [];
  readonly #timer: NodeJS.Timeout;
  #drawnLines = 0;

  constructor(options: ScreenOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#show(), this.#isTerminal ? REDRAW_MS : options.lineIntervalMs);
  }

  /** Shows an event: under the table, or as a line. */
  tell(event: string): void {
    if (!this.#isTerminal) {
      console.log(event);
      return;
    }
    this.#events.push(event);
    if (this.#events.length > EVENTS) this.#events.shift();
  }

  /** Shows the last state, and leaves the terminal as it was. */
  stop(): void {
    clearInterval(this.#timer);
    this.#show();
  }

  #show(): void {
    const view = this.#options.view();
    if (!this.#isTerminal) {
      console.log(asLine(view));
      return;
    }
    const lines = [...asTable(view), "", ...this.#events, "", this.#options.help];
    const width = process.stdout.columns - 1;
    // Up to where the last drawing began, then over it: each line is cleared before it is written.
    const up = this.#drawnLines > 0 ? `\u001B[${this.#drawnLines}A` : "";
    process.stdout.write(`${up}\r\u001B[J${lines.map((line) => line.slice(0, width)).join("\n")}\n`);
    this.#drawnLines = lines.length;
  }
}

function asLine({ progress, runners, ownerless, shards, longestWithoutOwnerMs }: View): string {
  const there = runners
    .filter(({ state }) => state !== "ended")
    .map((runner) => `${runner.name} ${runner.state === "running" ? "" : `${runner.state} `}${runner.shards}`)
    .join(", ");
  return `${progress}  shards ${there || "nobody"}  without an owner ${ownerless}/${shards}, longest ${seconds(longestWithoutOwnerMs)}`;
}

function asTable({ progress, runners, ownerless, shards, longestWithoutOwnerMs }: View): readonly string[] {
  const rows = runners.map((runner) => [
    runner.name,
    String(runner.pid),
    runner.address,
    runner.state,
    String(runner.shards),
    reachability(runner),
  ]);
  const head = ["runner", "pid", "address", "state", "shards", "reachable"];
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const format = (row: readonly string[]): string =>
    row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ");
  return [
    progress,
    "",
    format(head),
    ...rows.map(format),
    "",
    `shards without an owner: ${ownerless} of ${shards}; the longest time that one had none: ${seconds(longestWithoutOwnerMs)}`,
  ];
}

function reachability({ isReachable, answerMs }: RunnerLine): string {
  if (isReachable === null) return "";
  if (!isReachable) return "no";
  return answerMs === null ? "yes" : `yes, ${answerMs.toFixed(0)} ms`;
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)}s`;
}
