// One host: what it is, what runs on it, how it reaches its peers and why so.

import { get } from "./api.js";
import { make, showProblem, showRows, tag } from "./dom.js";
import { coalesced, connect, on, paced } from "./events.js";
import { milliseconds, percent } from "./lines.js";
import { data, word, wordOf } from "./page.js";
import { STATES, stateOf } from "./states.js";

const PACE_MS = 2000;
const PHASES = { mounted: "good", failed: "bad", pending: "wait" };
const id = data.cladnet.id;
const $ = (name) => document.getElementById(name);

function fact([name, ...values]) {
  const said = values.filter((value) => value !== null && value !== undefined && value !== "");
  return make("div", {}, make("dt", {}, name), make("dd", {}, said.length ? said.join(" / ") : "–"));
}

function factsOf({ host, nat, listen_port: port, agent_version: version, has_ipv6: ipv6 }) {
  return [
    [word("fact.address"), host.address, host.address6],
    [word("fact.public"), host.public_address],
    [word("fact.nat"), wordOf("nat", nat)],
    [word("fact.port"), port],
    [word("fact.cloud"), host.cloud.provider],
    [word("fact.place"), host.cloud.region, host.cloud.zone],
    [word("fact.network"), host.cloud.network_id, host.cloud.subnet_id],
    [word("fact.roles"), host.roles.map((role) => wordOf("role", role)).join(", ")],
    [word("fact.version"), version],
    [word("fact.ipv6"), ipv6 ? word("yes") : word("no")],
    [word("fact.agent"), host.present ? word("fact.agent.here") : word("topology.gone")],
  ];
}

function show(facts) {
  const state = stateOf(facts.host);
  $("host-state").textContent = wordOf("state", state);
  $("host-state").dataset.kind = STATES[state];
  const said = [facts.host.problem, facts.host.ipv6_problem, facts.storage_problem].filter(Boolean).join("\n");
  showProblem($("host-problem"), said ? { detail: said, hint: "" } : null);
  $("facts").replaceChildren(...factsOf(facts).map(fact));
  showRows("interfaces", facts.interfaces.map((each) => make("tr", {},
    make("th", { scope: "row" }, each.name), make("td", { class: "code" }, each.addresses.join(" ") || "–"), make("td", {}, each.mtu))));
  showRows("daemons", facts.daemons.map((each) => make("tr", {},
    make("th", { scope: "row" }, `${each.kind}.${each.id}`),
    make("td", {}, each.running ? tag(word("running"), "good") : tag(word("stopped"), "bad")),
    make("td", { class: "code" }, each.device || "–", each.encrypted ? ` (${word("encrypted")})` : null))));
  showRows("mounts", facts.mounts.map(({ volume, mount }) => make("tr", {},
    make("th", { scope: "row" }, make("a", { href: `/volumes/${encodeURIComponent(id)}/${encodeURIComponent(volume)}` }, volume)),
    make("td", { class: "code" }, mount.path),
    make("td", {}, mount.leaving ? tag(word("leaving"), "wait") : tag(wordOf("state", mount.phase), PHASES[mount.phase]),
      mount.problem ? make("span", { class: "prose faint" }, ` ${mount.problem}`) : null))));
  showRules(facts);
}

function showRules(facts) {
  const paths = new Map(facts.paths.map((path) => [path.destination, path]));
  $("rule-count").textContent = facts.peers.length + facts.peers_left_out || "";
  $("left-out").hidden = facts.peers_left_out === 0;
  $("left-out").textContent = word("peers.left_out", { count: facts.peers_left_out });
  showRows("rules", facts.peers.map((rule) => make("tr", {},
    make("th", { scope: "row" }, make("a", { href: `/hosts/${encodeURIComponent(id)}/${encodeURIComponent(rule.peer)}` }, rule.peer)),
    make("td", { class: "code" }, rule.address),
    make("td", {}, tag(wordOf("state", rule.state), STATES[rule.state])),
    make("td", { class: "code" }, rule.endpoint || "–"),
    make("td", { class: "prose" }, wordOf("reason", rule.reason)),
    make("td", {}, milliseconds(paths.get(rule.peer)?.avg_ms ?? null)),
    make("td", {}, percent(paths.get(rule.peer)?.loss ?? null)))));
}

const reload = coalesced(async () => {
  try {
    show((await get(location.pathname)).facts);
  } catch (error) {
    if (error.document?.status !== 404) throw error;
    location.assign("/hosts");
  }
});
const soon = paced(reload, PACE_MS);

show(data.facts);
on("resync", reload);
for (const type of ["hosts", "alarms", "storage", "volumes"]) on(type, (message) => message.cladnet === id && soon());
connect();
