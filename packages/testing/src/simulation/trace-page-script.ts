// What runs in a trace page. The page holds the text of `TraceView`, so the class uses nothing from around it.

import type { TraceBand, TraceModel, TraceRow } from "./trace-model.ts";

/** As much of the DOM as the page uses: the library is compiled without it. */
export interface PageElement extends PageTarget {
  readonly clientHeight: number;
  readonly dataset: Readonly<Record<string, string | undefined>>;
  readonly style: { height: string };
  readonly value: string;
  readonly checked: boolean;
  innerHTML: string;
  textContent: string | null;
  scrollTop: number;
  closest(selectors: string): PageElement | null;
}

interface PageTarget {
  addEventListener(type: string, listener: (event: PageEvent) => void): void;
}

interface PageEvent {
  readonly target: PageElement;
  readonly key: string;
}

export interface PageDocument {
  readonly defaultView: PageTarget;
  querySelector(selectors: string): PageElement | null;
  querySelectorAll(selectors: string): Iterable<PageElement>;
}

/** Draws what is in view, as SVG, and again whenever that changes. Time goes down. */
export class TraceView {
  readonly #page: PageDocument;
  readonly #model: TraceModel;
  readonly #view: PageElement;
  readonly #width: number;
  readonly #rowPx = 17;
  readonly #lanesX = 430;
  readonly #lanePx = 130;
  /** Of each event. One that is hidden is where the last one is that is not. */
  #ys: readonly number[] = [];
  #isShown: readonly boolean[] = [];
  #height = 0;
  #chosen: number | null = null;

  constructor(page: PageDocument, model: TraceModel) {
    this.#page = page;
    this.#model = model;
    this.#width = this.#lanesX + model.lanes.length * this.#lanePx;
    this.#view = this.#find("#view");
    this.#find("#tools").addEventListener("input", () => this.#rearrange());
    this.#view.addEventListener("scroll", () => this.#draw());
    this.#view.addEventListener("mouseover", (event) => this.#tell(this.#indexAt(event) ?? this.#chosen));
    this.#view.addEventListener("click", (event) => this.#choose(this.#indexAt(event)));
    page.defaultView.addEventListener("resize", () => this.#draw());
    page.defaultView.addEventListener("keydown", ({ key }) => key === "Escape" && this.#choose(null));
    this.#arrange();
    this.#draw();
  }

  /** Decides what is shown, and where. */
  #arrange(): void {
    const { rows } = this.#model;
    const boxes = [...this.#page.querySelectorAll("[name=kind]")];
    const kinds = new Set(boxes.flatMap(({ checked, value }) => (checked ? [value] : [])));
    const wanted = this.#find("#wanted").value.trim().toLowerCase();
    const zoom = 2 ** Number(this.#find("#zoom").value);
    const isToScale = this.#find("#scale").checked;
    let y = 0;
    let lastMs = rows[0]?.ms ?? 0;
    this.#isShown = rows.map(
      ({ kind, event }) => kinds.has(kind) && JSON.stringify(event).toLowerCase().includes(wanted),
    );
    this.#ys = rows.map(({ ms }, index) => {
      if (isToScale) y = this.#rowPx + (ms - (rows[0]?.ms ?? 0)) * zoom * 0.05;
      else if (this.#isShown[index] === true) {
        // A long time makes a wider gap, but not in proportion.
        y += this.#rowPx * zoom * (1 + Math.min(2, Math.log10(1 + ms - lastMs) / 2));
        lastMs = ms;
      }
      return y;
    });
    this.#height = y + 3 * this.#rowPx;
    this.#find("#space").style.height = `${this.#height}px`;
    this.#find("#count").textContent = `${this.#isShown.filter(Boolean).length} of ${rows.length} events`;
  }

  /** The same anew, and leaves in the middle what is there. */
  #rearrange(): void {
    const half = this.#view.clientHeight / 2;
    const next = this.#ys.findIndex((y) => y >= this.#view.scrollTop + half);
    const at = next === -1 ? this.#ys.length - 1 : next;
    this.#arrange();
    this.#view.scrollTop = this.#yAt(at) - half;
    this.#draw();
  }

  #draw(): void {
    const { lanes, rows, bars, bands } = this.#model;
    const top = this.#view.scrollTop;
    const bottom = top + this.#view.clientHeight;
    const isIn = (from: number, to: number): boolean => to >= top - 20 && from <= bottom + 20;
    const back: string[] = [];
    const front: string[] = [];
    for (const band of bands)
      if (isIn(this.#yAt(band.from), this.#yAt(band.to))) back.push(this.#band(band, top));
    for (const lane of lanes.keys())
      back.push(`<path class="line" d="M${this.#xOf(lane)} ${top}V${Math.min(bottom, this.#height)}"/>`);
    for (const { lane, state, from, to } of bars) {
      const [y, endY] = [this.#yAt(from), this.#yAt(to)];
      const size = `width="10" height="${Math.max(3, endY - y)}"`;
      if (isIn(y, endY))
        back.push(`<rect class="bar ${state}" x="${this.#xOf(lane) - 5}" y="${y}" ${size}/>`);
    }
    const chosen = this.#chosen === null ? null : rows[this.#chosen];
    let [textY, lastTime] = [-100, ""];
    for (const [index, row] of rows.entries()) {
      const y = this.#yAt(index);
      if (this.#isShown[index] !== true || !isIn(y, this.#yAt(row.end) + this.#rowPx)) continue;
      const isChosen = row === chosen || (row.group !== null && row.group === chosen?.group);
      const outcome = "outcome" in row.event ? row.event.outcome.replace(" ", "-") : "";
      const names = ["row", row.kind, row.event.type, outcome, isChosen ? "chosen" : ""].join(" ");
      const group = `<g class="${names}" data-index="${index}">`;
      const hasText = y - textY >= 11;
      back.push(`${group}<rect class="hit" y="${y - 8}" width="${this.#width}" height="16"/>`);
      if (hasText) {
        const time = (row.ms / 1_000).toFixed(3);
        if (time !== lastTime) back.push(`<text class="time" x="66" y="${y + 4}">${time}</text>`);
        back.push(`<text x="74" y="${y + 4}">${this.#short(row.text, 50)}</text>`);
        [textY, lastTime] = [y, time];
      }
      back.push("</g>");
      front.push(group, this.#mark(row, y, hasText), "</g>");
    }
    const heads = lanes.map((lane, index) =>
      this.#label(this.#xOf(index), 16, this.#short(lane, 20), "middle"),
    );
    const size = `width="${this.#width}" height="${this.#view.clientHeight}"`;
    this.#find("#stage").innerHTML =
      `<svg ${size} class="${chosen === null ? "" : "choosing"}"><defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4"
        markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0L8 4L0 8z" fill="context-stroke"/></marker></defs>
      <g transform="translate(0 ${24 - top})">${back.join("")}${front.join("")}</g>
      <rect class="head" width="${this.#width}" height="24"/>${heads.join("")}</svg>`;
  }

  #band({ lanes, kind, what, from, to }: TraceBand, top: number): string {
    const [y, endY] = [this.#yAt(from), this.#yAt(to)];
    return lanes
      .map((lane) => {
        const x = this.#xOf(lane) - this.#lanePx / 2;
        const size = `width="${this.#lanePx}" height="${endY - y}"`;
        const band = `<rect class="band ${kind}" x="${x}" y="${y}" ${size}/>`;
        // Its name stays in view, and stands once where lanes are side by side.
        if (endY - y < 14 || lanes.includes(lane - 1)) return band;
        const name = this.#short(what, lanes.includes(lane + 1) ? 40 : 20);
        return band + this.#label(x + 3, Math.min(Math.max(y, top) + 12, endY - 3), name);
      })
      .join("");
  }

  #mark({ event, lane, to, end, lost }: TraceRow, y: number, hasText: boolean): string {
    const x = this.#xOf(lane ?? 0);
    switch (event.type) {
      case "storage":
        return `<circle cx="${x}" cy="${y}" r="4.5"/>`;
      case "lease":
        return `<rect x="${x - 4}" y="${y - 4}" width="8" height="8"/>`;
      case "fault":
        return `<path class="change" d="M${this.#lanesX} ${y}H${this.#width}"/>`;
      case "note":
      case "process": {
        const what = event.type === "note" ? event.who : event.what.replace("has its wall ", "");
        return `<circle cx="${x}" cy="${y}" r="3"/>${hasText ? this.#label(x + 8, y + 4, this.#short(what, 10)) : ""}`;
      }
      case "message": {
        const part = lost === "lost" ? 0.5 : 1;
        const tipX = x + (this.#xOf(to ?? 0) - x) * part;
        const tipY = y + (Math.max(this.#yAt(end) - y, 0) + this.#rowPx / 2) * part;
        const way = `d="M${x} ${y}L${tipX} ${tipY}"`;
        const delay = `${Math.round(event.delayMs)} ms`;
        return [
          // Wider than it looks, to point at.
          `<path class="catch" ${way}/>`,
          event.copies > 1 ? `<path class="copies" ${way}/>` : "",
          `<path class="arrow" ${way} ${lost === null ? 'marker-end="url(#tip)"' : 'stroke-dasharray="4 3"'}/>`,
          lost === null ? "" : `<path class="cross" d="M${tipX - 4} ${tipY - 4}l8 8m0 -8l-8 8"/>`,
          event.delayMs > 0 && hasText
            ? this.#label(x + (tipX - x) * 0.3, y + (tipY - y) * 0.3 - 3, delay, "middle")
            : "",
        ].join("");
      }
    }
  }

  /** Shows the event as JSON. */
  #tell(index: number | null): void {
    const row = index === null ? undefined : this.#model.rows[index];
    if (row === undefined) return;
    this.#find("#told").textContent = JSON.stringify({ ...row.event, lost: row.lost ?? undefined }, null, 1);
  }

  #choose(index: number | null): void {
    this.#chosen = index === this.#chosen ? null : index;
    this.#tell(this.#chosen);
    this.#draw();
  }

  #indexAt({ target }: PageEvent): number | null {
    const index = target.closest("[data-index]")?.dataset["index"];
    return index === undefined ? null : Number(index);
  }

  #find(selectors: string): PageElement {
    const found = this.#page.querySelector(selectors);
    if (found === null) throw new Error(`The page has no ${selectors}`);
    return found;
  }

  #xOf(lane: number): number {
    return this.#lanesX + (lane + 0.5) * this.#lanePx;
  }

  #yAt(index: number): number {
    return this.#ys[index] ?? this.#height;
  }

  #label(x: number, y: number, text: string, anchor = "start"): string {
    return `<text class="small" text-anchor="${anchor}" x="${x}" y="${y}">${text}</text>`;
  }

  /** Of text from the trace: no longer than that, and escaped. */
  #short(text: string, letters: number): string {
    const cut = text.length > letters ? `${text.slice(0, letters - 1)}…` : text;
    return cut.replaceAll(/[&<>"]/gu, (letter) => `&#${letter.codePointAt(0)};`);
  }
}
