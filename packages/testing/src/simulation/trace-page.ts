import type { SimulationDetails } from "./simulation-error.ts";
import { traceModel, type RowKind, type TraceRow } from "./trace-model.ts";
import { TraceView } from "./trace-page-script.ts";

/**
 * A page that shows the trace of a failing run: a line for each process, time downwards, messages as arrows between them. It
 * holds all that it needs, and asks for nothing elsewhere.
 */
export function tracePage(
  details: SimulationDetails & {
    readonly message: string;
    /** When the run began, as a wall time: 0 on the page. Default: the first event. */
    readonly beganAt?: number;
  },
): string {
  const model = traceModel(details.trace, details.beganAt);
  // No text of it ends the element that it stands in.
  const data = JSON.stringify(model).replaceAll("<", String.raw`\u003c`);
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>${escaped(`${details.scenario}, seed ${details.seed}: ${details.invariant}`)}</title>
<style>${STYLE}</style>
<details open>
<summary><b>${escaped(details.invariant)}</b> is broken by <b>${escaped(details.scenario)}</b> under seed <b>${details.seed}</b></summary>
<pre>${escaped(details.message)}</pre>
</details>
<form id="tools" autocomplete="off">${KINDS.map((kind) => kindBox(kind, model.rows)).join("\n")}
<input id="wanted" list="requests" placeholder="a requestId, or any text" size="28">
<datalist id="requests">${requestOptions(model.rows)}</datalist>
<label>zoom <input id="zoom" type="range" min="-4" max="6" step="0.25" value="0"></label>
<label><input id="scale" type="checkbox"> to scale</label>
<span id="count"></span></form>
<main><div id="view"><div id="space"><div id="stage"></div></div></div><aside>${LEGEND}<pre id="told"></pre></aside></main>
<script type="application/json" id="model">${data}</script>
<script>new (${TraceView.toString()})(document, JSON.parse(document.querySelector("#model").textContent));</script>
</html>
`;
}

const LEGEND = `
<p>Point at an event. A click marks all events of its request; Escape ends that.</p>
<p>● a call of storage<br>■ a call of the lease store<br>hollow: it failed before it was done<br>red: it failed after it was done<br>orange: it was refused</p>
<p>✕ a message does not arrive<br>━ a message comes twice<br>red bar: the process stands still<br>dashed bar: it is down, or leaves</p>`;

const KINDS: readonly RowKind[] = ["note", "process", "fault", "message", "storage", "lease", "routine"];

function kindBox(kind: RowKind, rows: readonly TraceRow[]): string {
  const count = rows.filter((row) => row.kind === kind).length;
  const checked = kind === "routine" ? "" : "checked";
  return `<label class="${kind}"><input type="checkbox" name="kind" value="${kind}" ${checked}> ${kind} ${count}</label>`;
}

/** Each request, under the name of its first message. */
function requestOptions(rows: readonly TraceRow[]): string {
  const messages = rows.flatMap(({ event }) => (event.type === "message" ? [event] : []));
  return [...Map.groupBy(messages, ({ requestId }) => requestId)]
    .filter(([requestId]) => requestId !== null)
    .map(([requestId, of]) => {
      const label = `${of[0]?.message}, ${of.length} messages`;
      return `<option value="${escaped(requestId ?? "")}">${escaped(label)}</option>`;
    })
    .join("");
}

function escaped(text: string): string {
  return text.replaceAll(/[&<>"]/gu, (letter) => `&#${letter.codePointAt(0)};`);
}

const STYLE = `
:root { color-scheme: light dark; --text: light-dark(#222, #ddd); --page: light-dark(#fff, #16181d); --faint: light-dark(#ccc, #444);
  --message: light-dark(#1f5fbf, #7ab0ff); --storage: light-dark(#2c8a4b, #5fce85); --lease: light-dark(#7a4fb5, #b795ea);
  --bad: light-dark(#d02b2b, #ff6b6b); --warn: light-dark(#d97a00, #ffb04d); --note: light-dark(#222, #eee); }
body { margin: 0; height: 100vh; display: flex; flex-direction: column; font: 13px system-ui, sans-serif; color: var(--text); background: var(--page); }
details, form { padding: 6px 12px; border-bottom: 1px solid var(--faint); }
summary { font-size: 15px; cursor: pointer; } summary b:first-child { color: var(--bad); }
pre { margin: 6px 0 0; font: 12px ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; max-height: 24vh; overflow: auto; }
form { display: flex; flex-wrap: wrap; gap: 4px 14px; align-items: center; }
label { white-space: nowrap; display: inline-flex; align-items: center; }
main { flex: 1; min-height: 0; display: flex; }
#view { flex: 1; overflow: auto; } #stage { position: sticky; top: 0; }
aside { flex: 0 0 270px; padding: 0 8px; overflow: auto; border-left: 1px solid var(--faint); } aside pre { max-height: none; }
svg { display: block; font: 11px ui-monospace, monospace; fill: var(--text); }
.time { text-anchor: end; opacity: .7; } .small { font-size: 10px; opacity: .85; pointer-events: none; }
.head { fill: var(--page); stroke: var(--faint); } .line { stroke: var(--faint); }
.bar.down { fill: var(--page); stroke: var(--bad); stroke-dasharray: 3 3; } .bar.stopped { fill: var(--bad); opacity: .75; } .bar.leaving { fill: var(--page); stroke: var(--warn); stroke-dasharray: 3 3; }
.band { opacity: .13; } .band.network { fill: var(--bad); } .band.rates { fill: var(--warn); } .band.clock { fill: var(--lease); }
.row { cursor: pointer; --of: var(--note); } .row.message { --of: var(--message); } .row.storage { --of: var(--storage); } .row.lease { --of: var(--lease); }
.row.fault, .row.failed-before, .row.failed-after { --of: var(--bad); } .row.refused { --of: var(--warn); }
.row { fill: var(--of); stroke: none; } .failed-before circle, .failed-before rect:not(.hit) { fill: var(--page); stroke: var(--of); stroke-width: 2; }
.hit { fill: transparent; } .row:hover .hit { fill: color-mix(in srgb, var(--text) 8%, transparent); } .chosen .hit { fill: color-mix(in srgb, var(--warn) 25%, transparent); }
.arrow { fill: none; stroke: var(--of); stroke-width: 1.3; } .copies { stroke: var(--of); stroke-width: 6; opacity: .35; } .catch { fill: none; stroke: transparent; stroke-width: 9; }
.cross { stroke: var(--bad); stroke-width: 2; } .change { stroke: var(--bad); stroke-dasharray: 2 4; }
.routine { opacity: .6; } .choosing .row:not(.chosen) { opacity: .22; } .chosen .arrow { stroke-width: 2.2; }
`;
