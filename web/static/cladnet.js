// One CLADNet: its hosts, its latencies, the user-data for more hosts.

import { followAlarms } from "./alarms.js";
import { get, post } from "./api.js";
import { copyButtons } from "./copying.js";
import { make, showProblem, showRows, tag } from "./dom.js";
import { coalesced, connect, on } from "./events.js";
import { showLegend, showMatrix, showMesh } from "./latency.js";
import { data, word, wordOf } from "./page.js";
import { STATES, stateOf } from "./states.js";

const path = `/v1/cladnets/${encodeURIComponent(data.cladnet.id)}`;
const mine = (message) => message.cladnet === data.cladnet.id;
const state = { hosts: data.hosts, test: data.status.test, rows: new Map() };

function remember(rows) {
  state.rows = new Map(rows.map((row) => [row.host, row]));
}

function showHosts() {
  document.getElementById("host-count").textContent = state.hosts.length || "";
  showRows("hosts", state.hosts.map((host) => make("tr", {},
    make("th", { scope: "row" }, make("a", { href: `/hosts/${encodeURIComponent(data.cladnet.id)}/${encodeURIComponent(host.host)}` }, host.host)),
    make("td", { class: "code" }, host.address ?? "–", ...(host.address6 ? [make("br"), host.address6] : [])),
    make("td", {}, tag(wordOf("state", stateOf(host)), STATES[stateOf(host)]), told(host) ? make("span", { class: "prose faint" }, ` ${told(host)}`) : null),
    make("td", { class: "code" }, host.public_address ?? "–"),
    make("td", {}, host.cloud.provider),
    make("td", {}, [host.cloud.region, host.cloud.zone].filter(Boolean).join(" / ")),
    make("td", {}, host.roles.map((role) => wordOf("role", role)).join(", ")),
  )));
}

function told(host) {
  return host.problem || host.ipv6_problem;
}

function showStatus() {
  const rows = [...state.rows.values()];
  showMatrix(state.hosts, state.rows);
  document.getElementById("legend").hidden = rows.length === 0;
  showMesh(state.hosts, state.rows);
  document.getElementById("status-progress").textContent = state.test === null ? word("empty.status") : word("asked", {
    when: new Date(state.test.asked_at).toLocaleString(document.documentElement.lang), rows: rows.length, hosts: state.hosts.length,
  });
}

function show() {
  showHosts();
  showStatus();
}

const reloadHosts = coalesced(async () => {
  state.hosts = (await get(`${path}/hosts`)).hosts;
  show();
});

const reloadStatus = coalesced(async () => {
  const status = await get(`${path}/status`);
  state.test = status.test;
  remember(status.rows);
  showStatus();
});

remember(data.status.rows);
showLegend();
show();

on("resync", () => {
  reloadHosts();
  reloadStatus();
});
on("hosts", (message) => mine(message) && reloadHosts());
on("status-cleared", (message) => mine(message) && reloadStatus());
on("cladnets", (message) => mine(message) && location.reload());
on("status-test", (message) => {
  if (!mine(message)) return;
  state.test = message.test;
  state.rows = new Map();
  showStatus();
});
on("status", (message) => {
  if (!mine(message) || (state.test !== null && message.row.test_id !== state.test.id)) return;
  state.rows.set(message.row.host, message.row);
  showStatus();
});

document.getElementById("status-form")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const box = document.getElementById("status-problem");
  try {
    await post(`${path}/status-tests`, { trials: Number(event.target.elements.trials.value) });
    showProblem(box, null);
  } catch (error) {
    showProblem(box, error.document ?? { detail: error.message, hint: "" });
  }
});

copyButtons();
followAlarms(data.cladnet.id, data.alarms);
connect();
