// The paths of a CLADNet that are bad now.

import { get } from "./api.js";
import { make, showRows, tag } from "./dom.js";
import { coalesced, on } from "./events.js";
import { word } from "./page.js";

const WORDS = {
  unreachable: () => tag(word("alarm.unreachable"), "bad"),
  loss: () => tag(word("alarm.loss"), "wait"),
  slow: () => tag(word("alarm.slow"), "wait"),
};

function show(summary) {
  document.getElementById("alarm-count").textContent = summary.length || "";
  showRows("alarms", summary.map((line) => make("tr", {},
    make("td", {}, WORDS[line.kind]()),
    make("th", { scope: "row" }, line.destination),
    make("td", { class: "prose" }, line.sources.join(", ")),
    make("td", {}, make("time", { datetime: line.since }, new Date(line.since).toLocaleString(document.documentElement.lang))),
    make("td", { class: "prose faint" }, line.evidence),
  )));
}

/** Show a CLADNet's alarms, and read them anew when a host tells of others than it told of before. */
export function followAlarms(cladnet, alarms) {
  const told = new Map();
  const shown = new Set(alarms.alarms.map((alarm) => alarm.source));
  const reload = coalesced(async () => show((await get(`/v1/cladnets/${encodeURIComponent(cladnet)}/alarms`)).summary));
  show(alarms.summary);
  on("resync", reload);
  on("alarms", (message) => {
    if (message.cladnet !== cladnet) return;
    const now = JSON.stringify(message.alarms);
    const before = told.get(message.host) ?? (shown.has(message.host) ? "unknown" : "[]");
    told.set(message.host, now);
    if (now !== before) reload();
  });
}
