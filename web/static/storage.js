// The storage cluster: what is wrong, what runs where, how full it is.

import { get } from "./api.js";
import { make, showRows, tag } from "./dom.js";
import { coalesced, connect, on, paced } from "./events.js";
import { showFindings } from "./findings.js";
import { data, word, wordOf } from "./page.js";
import { size } from "./sizes.js";

const PACE_MS = 2000;
const HEALTH = { ok: "good", warning: "wait", error: "bad" };
const SEVERITIES = { ok: "note", warning: "warning", error: "problem" };
const STATES = { ready: "good", failed: "bad" };
const id = data.cladnet.id;
const $ = (name) => document.getElementById(name);
const placeOf = ({ cloud }) => [cloud.provider || word("cloud.unknown"), cloud.region].filter(Boolean).join(" / ");

function factsOf(it) {
  return [
    [word("fact.quorum"), word("of", { some: it.quorum, all: it.monitors })],
    [word("fact.osds"), word("of", { some: it.osds_up, all: it.hosts.reduce((sum, host) => sum + host.osds.length, 0) })],
    [word("fact.addresses"), it.osds_off_cladnet ? word("addresses.bad", { count: it.osds_off_cladnet }) : word("addresses.good")],
    [word("fact.copies"), it.clean === null ? word("copies.unknown") : it.clean ? word("copies.whole") : word("copies.moving")],
    [word("fact.used"), word("used", { used: size(it.used_bytes), total: size(it.total_bytes) })],
    [word("fact.room"), it.room_bytes ? size(it.room_bytes) : "–"],
    [word("fact.seen"), it.observed_at ? new Date(it.observed_at).toLocaleTimeString(document.documentElement.lang) : "–"],
  ];
}

function under(name, columns, hosts, rowsOf) {
  const places = Map.groupBy(hosts, placeOf);
  showRows(name, [...places.entries()].sort(([a], [b]) => a.localeCompare(b)).flatMap(([place, its]) => {
    const rows = its.flatMap(rowsOf);
    return rows.length ? [make("tr", { class: "place" }, make("th", { scope: "rowgroup", colspan: columns }, place)), ...rows] : [];
  }));
}

function duty(value) {
  return make("td", {}, value === null ? "–" : tag(wordOf("duty", value), value === "active" ? "good" : undefined));
}

function hostRow(host) {
  return [make("tr", {},
    make("th", { scope: "row" }, make("a", { href: `/hosts/${encodeURIComponent(id)}/${encodeURIComponent(host.host)}` }, host.host)),
    make("td", { class: "code" }, host.address ?? "–"),
    make("td", {}, host.monitor === null ? "–" : host.monitor ? tag(word("quorum.in"), "good") : tag(word("quorum.out"), "bad")),
    duty(host.manager), duty(host.metadata_server),
    make("td", { class: "prose" }, host.problem || "–"))];
}

function osdRows(host) {
  return host.osds.map(({ osd, words }) => make("tr", {},
    make("th", { scope: "row" }, `osd.${osd.id}`),
    make("td", {}, osd.host),
    make("td", {}, osd.state === null ? "–" : osd.state.up && osd.state.is_in ? tag(word("osd.up"), "good")
      : tag(osd.state.up ? word("osd.out") : word("osd.down"), osd.state.up ? "wait" : "bad")),
    make("td", { class: "code" }, osd.state?.addresses.join(" ") || "–"),
    make("td", {}, osd.state === null ? "–" : osd.state.on_cladnet ? tag(word("yes"), "good") : tag(word("no"), "bad")),
    make("td", { class: "code" }, osd.device || "–", osd.encrypted ? ` (${word("encrypted")})` : null),
    make("td", { class: "prose" }, words || "–")));
}

function volumeRow(volume) {
  const part = volume.size_bytes ? volume.used_bytes / volume.size_bytes : 0;
  return make("tr", {},
    make("th", { scope: "row" }, make("a", { href: `/volumes/${encodeURIComponent(id)}/${encodeURIComponent(volume.name)}` }, volume.name)),
    make("td", {}, tag(wordOf("state", volume.status), STATES[volume.status] ?? "wait")),
    make("td", {}, size(volume.used_bytes)), make("td", {}, size(volume.size_bytes)),
    make("td", {}, make("meter", { min: 0, max: 1, high: 0.85, value: part, "aria-label": `${volume.name} ${Math.round(part * 100)} %` }), ` ${Math.round(part * 100)} %`));
}

function show(it) {
  $("storage").hidden = it === null;
  $("storage-none").hidden = it !== null;
  $("storage-health").hidden = it === null;
  if (it === null) return;
  $("storage-health").textContent = wordOf("health", it.health ?? "coming");
  $("storage-health").dataset.kind = HEALTH[it.health] ?? "wait";
  $("facts").replaceChildren(...factsOf(it).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
  $("checks").hidden = it.checks.length === 0;
  showFindings($("findings"), it.checks.map((check) => ({
    severity: SEVERITIES[check.health], about: check.code, what: [check.cause, check.summary].filter(Boolean).join(" · "), do: check.remedy,
  })));
  $("osd-count").textContent = it.hosts.reduce((sum, host) => sum + host.osds.length, 0) || "";
  under("storage-hosts", 6, it.hosts, hostRow);
  under("osds", 7, it.hosts, osdRows);
  showRows("volumes", it.volumes.map(volumeRow));
}

const reload = coalesced(async () => show((await get(`/storage?cladnet=${encodeURIComponent(id)}`)).storage));
const soon = paced(reload, PACE_MS);

show(data.storage);
on("resync", reload);
for (const type of ["storage", "volumes"]) on(type, (message) => message.cladnet === id && soon());
connect();
