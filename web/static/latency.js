// The latency matrix with its heat colours, and the mesh of the hosts.

import { draw, make } from "./dom.js";
import { word } from "./page.js";

// Milliseconds up to which a cell has each colour: one data centre, one region, neighbours, continents, the globe.
const STEPS = [5, 20, 60, 120, 200, 300];

/** The number of the colour that so many milliseconds have. */
export function heatOf(ms) {
  const step = STEPS.findIndex((limit) => ms <= limit);
  return step < 0 ? STEPS.length : step;
}

function heat(latency) {
  return latency.avg_ms === null ? "lost" : String(heatOf(latency.avg_ms));
}

/** Milliseconds with as many digits as mean something. */
export function shown(ms) {
  return ms < 10 ? ms.toFixed(2) : ms < 100 ? ms.toFixed(1) : ms.toFixed(0);
}

function cell(from, to, latency) {
  if (from === to) return make("td", { class: "self" }, "·");
  if (latency === undefined) return make("td", { class: "none" }, "–");
  const title = word("cell", {
    from, to, min: ms(latency.min_ms), avg: ms(latency.avg_ms), max: ms(latency.max_ms),
    received: latency.received, sent: latency.sent,
  });
  const partly = latency.avg_ms !== null && latency.received < latency.sent;
  return make("td", { "data-heat": heat(latency), title, class: partly ? "partly" : null },
    latency.avg_ms === null ? word("lost.packets") : shown(latency.avg_ms));
}

function ms(value) {
  return value === null || value === undefined ? "–" : shown(value);
}

function latencyBetween(rows, from, to) {
  return rows.get(from)?.latencies.find((latency) => latency.destination === to);
}

/** Show rows (by host) as a table: from the row's host to the column's. */
export function showMatrix(hosts, rows) {
  const table = document.getElementById("matrix");
  const names = [...new Set([...hosts.map((host) => host.host), ...rows.keys()])].sort();
  table.hidden = rows.size === 0;
  table.tHead.replaceChildren(make("tr", {},
    make("td", {}), ...names.map((name) => make("th", { scope: "col" }, make("span", {}, name)))));
  table.tBodies[0].replaceChildren(...names.map((from) => make("tr", {},
    make("th", { scope: "row" }, from),
    ...names.map((to) => cell(from, to, latencyBetween(rows, from, to))))));
}

/** Draw the hosts on a circle, in the order of their clouds, and a line for each pair that has been measured. */
export function showMesh(hosts, rows) {
  const order = [...hosts].sort((a, b) => placeOf(a).localeCompare(placeOf(b)));
  const place = new Map(order.map((host, index) => {
    const angle = (2 * Math.PI * index) / order.length - Math.PI / 2;
    return [host.host, { x: 250 + 120 * Math.cos(angle), y: 160 + 112 * Math.sin(angle), angle, host }];
  }));
  const lines = [];
  const labels = [];
  order.forEach((a, index) => order.slice(index + 1).forEach((b) => {
    const latency = latencyBetween(rows, a.host, b.host) ?? latencyBetween(rows, b.host, a.host);
    const [p, q] = [place.get(a.host), place.get(b.host)];
    lines.push(draw("line", { x1: p.x, y1: p.y, x2: q.x, y2: q.y, "data-heat": latency ? heat(latency) : "none" }));
    if (latency && latency.avg_ms !== null && order.length <= 4) {
      // Not in the middle, where lines cross.
      labels.push(draw("text", { class: "ms", x: p.x + (q.x - p.x) * 0.36, y: p.y + (q.y - p.y) * 0.36 + 4 }, shown(latency.avg_ms)));
    }
  }));
  const nodes = [...place.values()].map(node);
  const mesh = document.getElementById("mesh");
  mesh.parentElement.hidden = order.length < 2;
  mesh.replaceChildren(...lines, ...labels, ...nodes);
}

function node({ x, y, angle, host }) {
  const [sideways, down] = [Math.cos(angle), Math.sin(angle)];
  const anchor = Math.abs(sideways) < 0.3 ? "middle" : sideways > 0 ? "start" : "end";
  const label = { "text-anchor": anchor, x: x + 16 * sideways, y: y + 4 + 20 * down };
  const second = down < -0.3 ? -13 : 13;
  return draw("g", { "data-state": host.state ?? "waiting" },
    draw("circle", { cx: x, cy: y, r: 9 }),
    draw("text", label, host.host),
    draw("text", { ...label, y: label.y + second, class: "place" }, [host.cloud.provider, host.cloud.region].filter(Boolean).join(" ")),
  );
}

/** What says which colour means how many milliseconds; `attribute` gives a step's colour. */
export function legendOf(attribute = (step) => ({ "data-heat": String(step) })) {
  const names = [...STEPS.map((limit) => `≤ ${limit}`), `> ${STEPS.at(-1)}`];
  return [...names.map((name, step) => make("span", attribute(step), name)), "ms"];
}

/** Say which colour means how many milliseconds. */
export function showLegend() {
  document.getElementById("legend").replaceChildren(...legendOf());
}

function placeOf(host) {
  return `${host.cloud.provider} ${host.cloud.region} ${host.host}`;
}
