// The picture of a CLADNet: fills as agents join, empties as they stop; beside it the same as a list and a table.

import { get } from "./api.js";
import { make, showRows } from "./dom.js";
import { coalesced, connect, on, paced } from "./events.js";
import { Graph } from "./graph.js";
import { legendOf } from "./latency.js";
import { isTold, lineLegend, percent, roundTripCell, stateCell } from "./lines.js";
import { data, word, wordOf } from "./page.js";
import { STATES, stateOf } from "./states.js";

const MOST_ROWS = 20;
const HOSTS_PACE_MS = 700;
const PATHS_PACE_MS = 4000;

const id = data.cladnet.id;
const url = `/topology?cladnet=${encodeURIComponent(id)}`;
const $ = (name) => document.getElementById(name);
const state = { topology: data.topology, chosen: null };
const graph = new Graph($("graph"), (host) => choose(host, true));

function itemOf({ host, monitor, osds }) {
  return {
    name: host.host, provider: host.cloud.provider ?? "", region: host.cloud.region ?? "", address: host.address, monitor, osds,
    state: stateOf(host), silent: !host.present,
  };
}

const mode = () => document.querySelector("input[name='mode']:checked").value;

function show() {
  const items = state.topology.hosts.map(itemOf);
  const drawn = items.filter((item) => !item.silent || $("silent").checked);
  graph.show(drawn, state.topology.lines, mode());
  graph.choose(state.chosen);
  const counts = graph.counts();
  Object.assign($("graph").dataset, counts);
  $("graph").hidden = drawn.length === 0;
  $("graph-empty").hidden = drawn.length !== 0;
  $("topology-summary").textContent = word("topology.summary", { ...counts, silent: items.filter((item) => item.silent).length });
  $("left-out").hidden = state.topology.lines.length >= state.topology.paths;
  $("left-out").textContent = word("topology.left_out", { drawn: state.topology.lines.length, paths: state.topology.paths });
  showLegend();
  showTree(items);
  showWorst();
}

function showLegend() {
  const legend = mode() === "rtt" ? legendOf((step) => ({ "data-line": `line-${step}` })) : lineLegend(mode());
  $("legend").replaceChildren(...legend);
}

function runs(item) {
  const daemons = [];
  if (item.monitor !== null) daemons.push(item.monitor ? word("topology.monitor") : word("topology.monitor.out"));
  if (item.osds.length) {
    const bad = item.osds.filter((osd) => !osd.good).length;
    const counts = { osds: item.osds.length, bad };
    daemons.push(bad ? word("topology.osds.bad", counts) : word("topology.osds", counts));
  }
  return daemons.join(" · ");
}

function entry(item) {
  const link = make("a", { href: `/hosts/${encodeURIComponent(id)}/${encodeURIComponent(item.name)}`, "data-host": item.name },
    make("span", { class: "dot", "data-kind": item.silent ? "off" : STATES[item.state] }), item.name,
    make("span", { class: "faint" }, ` ${[item.silent ? word("topology.gone") : item.state === "active" ? "" : wordOf("state", item.state), runs(item)].filter(Boolean).join(" · ")}`));
  link.addEventListener("focus", () => choose(item.name));
  link.addEventListener("mouseenter", () => choose(item.name));
  return make("li", {}, link);
}

function showTree(items) {
  const focused = document.activeElement?.dataset?.host;
  const wanted = $("find").value.trim().toLowerCase();
  const places = new Map();
  for (const item of items.toSorted((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }))) {
    const place = [item.provider || word("cloud.unknown"), item.region].filter(Boolean).join(" / ");
    if (wanted && !`${item.name} ${place} ${item.address ?? ""}`.toLowerCase().includes(wanted)) continue;
    places.set(place, [...(places.get(place) ?? []), item]);
  }
  $("tree").replaceChildren(...[...places.entries()].sort(([a], [b]) => a.localeCompare(b)).flatMap(([place, hosts]) => [
    make("h2", {}, place, make("span", { class: "count" }, ` ${hosts.length}`)), make("ul", {}, ...hosts.map(entry)),
  ]));
  if (focused) $("tree").querySelector(`[data-host="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

function showWorst() {
  showRows("lines", state.topology.lines.filter(isTold).slice(0, MOST_ROWS).map((line) => make("tr", {},
    make("th", { scope: "row" }, `${line.one} ↔ ${line.other}`),
    roundTripCell(line), make("td", {}, percent(line.loss)), make("td", {}, wordOf("kind", line.kind)), stateCell(line),
  )));
}

/** Put a host in front in the picture, and where somebody pointed at it there, in the list too. */
function choose(name, inList = false) {
  state.chosen = name;
  graph.choose(name);
  if (inList) $("tree").querySelector(`[data-host="${CSS.escape(name)}"]`)?.focus();
}

const reload = coalesced(async () => {
  state.topology = (await get(url)).topology;
  show();
});
const reloadHosts = paced(reload, HOSTS_PACE_MS);
const reloadPaths = paced(reload, PATHS_PACE_MS);
const mine = (message) => message.cladnet === id;

show();
for (const input of document.querySelectorAll("input[name='mode'], #silent")) input.addEventListener("change", show);
$("tree").addEventListener("mouseleave", () => choose(null));
$("tree").addEventListener("focusout", () => choose(null));
$("find").addEventListener("input", () => showTree(state.topology.hosts.map(itemOf)));
$("zoom-in").addEventListener("click", () => graph.zoom(1.4));
$("zoom-out").addEventListener("click", () => graph.zoom(1 / 1.4));
$("zoom-fit").addEventListener("click", () => graph.fit());
on("resync", reload);
on("hosts", (message) => mine(message) && reloadHosts());
on("storage", (message) => mine(message) && reloadPaths());
on("alarms", (message) => mine(message) && reloadPaths());
on("cladnets", (message) => mine(message) && reload());
connect();
