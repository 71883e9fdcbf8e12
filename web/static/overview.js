// The first page: what is wrong, what is there, how full it is, the worst paths.

import { get } from "./api.js";
import { make, showRows, tag } from "./dom.js";
import { coalesced, connect, on, paced } from "./events.js";
import { showFindings } from "./findings.js";
import { percent, roundTripCell, stateCell } from "./lines.js";
import { data, word, wordOf } from "./page.js";
import { size } from "./sizes.js";
import { STATES } from "./states.js";

const PACE_MS = 2000;
const $ = (id) => document.getElementById(id);

function capacityOf(each) {
  const name = `${each.cladnet}: ${word("used", { used: size(each.used_bytes), total: size(each.total_bytes) })}`;
  return make("div", { class: "fill" },
    make("span", {}, name),
    make("meter", { min: 0, max: each.total_bytes || 1, high: 0.75 * each.total_bytes, value: each.used_bytes, "aria-label": name }),
    each.room_bytes ? make("span", { class: "faint" }, word("room", { room: size(each.room_bytes) })) : null);
}

function show(overview) {
  $("health").textContent = overview.healthy ? word("healthy") : word("unhealthy", { count: overview.findings.length });
  $("health").dataset.kind = overview.healthy ? "good" : overview.findings[0].severity === "problem" ? "bad" : "wait";
  showFindings($("findings"), overview.findings);
  $("host-count").textContent = Object.values(overview.hosts).reduce((sum, count) => sum + count, 0);
  $("host-states").replaceChildren(...Object.entries(overview.hosts).sort().map(([state, count]) => tag(`${count} ${wordOf("state", state)}`, STATES[state])));
  $("cladnet-count").textContent = overview.cladnets;
  $("volume-count").textContent = overview.volumes;
  $("mount-count").textContent = word("mounts.count", { mounts: overview.mounts });
  $("capacity").replaceChildren(...(overview.capacity.length ? overview.capacity.map(capacityOf) : [make("p", { class: "empty" }, word("no.storage"))]));
  showRows("lines", overview.worst.map(({ cladnet, line }) => make("tr", {},
    make("td", {}, cladnet), make("th", { scope: "row" }, `${line.one} ↔ ${line.other}`), roundTripCell(line), make("td", {}, percent(line.loss)), stateCell(line))));
}

const reload = coalesced(async () => show(await get("/")));
const soon = paced(reload, PACE_MS);

show(data);
on("resync", reload);
for (const type of ["cladnets", "hosts", "alarms", "volumes", "storage"]) on(type, soon);
connect();
