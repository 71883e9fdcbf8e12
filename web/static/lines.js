// What a path between two hosts looks like: its colour, its figures, its cells in a table.

import { make, tag } from "./dom.js";
import { heatOf, shown } from "./latency.js";
import { word, wordOf } from "./page.js";

const KINDS = { private: "line-0", public: "line-3", unknown: "faint" };
const LOSSES = [[0, "line-0"], [0.01, "line-2"], [0.05, "line-4"], [Infinity, "line-6"]];

/** Whether anybody has told of it. */
export const isTold = (line) => line.rtt_ms !== null || line.loss !== null || line.alarm !== null;

/** The colour's name, by `mode`: rtt, loss or kind. */
export function lineColour(line, mode) {
  if (mode === "kind") return KINDS[line.kind];
  if (line.alarm === "unreachable" || (line.loss !== null && line.loss >= 1)) return "bad";
  if (mode === "loss") return line.loss === null ? "faint" : LOSSES.find(([limit]) => line.loss <= limit)[1];
  return line.rtt_ms === null ? "faint" : `line-${heatOf(line.rtt_ms)}`;
}

/** What says which colour means what. */
export function lineLegend(mode) {
  const names = {
    loss: [["line-0", "0 %"], ["line-2", "≤ 1 %"], ["line-4", "≤ 5 %"], ["line-6", "> 5 %"]],
    kind: Object.entries(KINDS).map(([kind, name]) => [name, wordOf("kind", kind)]),
  };
  return names[mode].map(([name, text]) => make("span", { "data-line": name }, text));
}

export const percent = (part) => (part === null ? "–" : `${(part * 100).toFixed(part > 0 && part < 0.1 ? 1 : 0)} %`);
export const milliseconds = (ms) => (ms === null ? "–" : `${shown(ms)} ms`);

export function roundTripCell(line) {
  return make("td", {}, make("span", { class: "swatch", "data-line": lineColour(line, "rtt") }), milliseconds(line.rtt_ms));
}

export function stateCell(line) {
  return make("td", {}, line.alarm === null ? tag(word("topology.path.good"), "good")
    : tag(wordOf("alarm", line.alarm), line.alarm === "unreachable" ? "bad" : "wait"));
}
