// The picture of a CLADNet: fills as agents join, empties as they stop; beside it the same as a list and a table.

import { get } from "./api.js";
import { make, showRows, tag } from "./dom.js";
import { coalesced, connect, on, paced } from "./events.js";
import { Graph, lineColour } from "./graph.js";
import { legendOf, shown } from "./latency.js";
import { data, word, wordOf } from "./page.js";

const MOST_ROWS = 20;
const HOSTS_PACE_MS = 700;
const PATHS_PACE_MS = 4000;
const KINDS = { active: "good", unreachable: "bad", problem: "bad", down: "wait", waiting: "wait" };

const id = data.cladnet.id;
const url = `/topology?cladnet=${encodeURIComponent(id)}`;
const $ = (name) => document.getElementById(name);
const state = { topology: data.topology, chosen: null };
const graph = new Graph($("graph"), (host) => choose(host, true));

function itemOf({ host, monitor, osds }) {
  return {
    name: host.host, provider: host.cloud.provider ?? "", region: host.cloud.region ?? "", address: host.address, monitor, osds,
    state: host.problem ? "problem" : host.state ?? "waiting", silent: !host.present,
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
  $("legend").replaceChildren(...(mode() === "rtt" ? legendOf((step) => ({ "data-line": `line-${step}` })) : mode() === "loss"
    ? [["line-0", "0 %"], ["line-2", "≤ 1 %"], ["line-4", "≤ 5 %"], ["line-6", "> 5 %"]].map(([name, text]) => make("span", { "data-line": name }, text))
    : [["line-0", "private"], ["line-3", "public"], ["faint", "unknown"]].map(([name, kind]) => make("span", { "data-line": name }, wordOf("kind", kind)))));
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
    make("span", { class: "dot", "data-kind": item.silent ? "off" : KINDS[item.state] }), item.name,
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
    make("h3", {}, place, make("span", { class: "count" }, ` ${hosts.length}`)), make("ul", {}, ...hosts.map(entry)),
  ]));
  if (focused) $("tree").querySelector(`[data-host="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

function showWorst() {
  const told = state.topology.lines.filter((line) => line.rtt_ms !== null || line.loss !== null || line.alarm !== null);
  showRows("lines", told.slice(0, MOST_ROWS).map((line) => make("tr", {},
    make("th", { scope: "row" }, `${line.one} ↔ ${line.other}`),
    make("td", {}, make("span", { class: "swatch", "data-line": lineColour(line, "rtt") }), line.rtt_ms === null ? "–" : `${shown(line.rtt_ms)} ms`),
    make("td", {}, line.loss === null ? "–" : `${(line.loss * 100).toFixed(1)} %`),
    make("td", {}, wordOf("kind", line.kind)),
    make("td", {}, line.alarm === null ? tag(word("topology.path.good"), "good") : tag(wordOf("alarm", line.alarm), line.alarm === "unreachable" ? "bad" : "wait")),
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
