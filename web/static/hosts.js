// Every host of every CLADNet.

import { get } from "./api.js";
import { make, showRows, tag } from "./dom.js";
import { coalesced, connect, on, paced } from "./events.js";
import { data, wordOf } from "./page.js";
import { STATES, stateOf } from "./states.js";

const PACE_MS = 1000;
const find = document.getElementById("find");
let hosts = data.hosts;

function row({ cladnet, name, host }) {
  const state = stateOf(host);
  return make("tr", {},
    make("th", { scope: "row" }, make("a", { href: `/hosts/${encodeURIComponent(cladnet)}/${encodeURIComponent(host.host)}` }, host.host)),
    make("td", {}, make("a", { href: `/cladnets/${encodeURIComponent(cladnet)}` }, name)),
    make("td", {}, tag(wordOf("state", state), STATES[state])),
    make("td", { class: "code" }, host.address ?? "–"),
    make("td", { class: "code" }, host.public_address ?? "–"),
    make("td", {}, host.cloud.provider),
    make("td", {}, [host.cloud.region, host.cloud.zone].filter(Boolean).join(" / ")),
    make("td", {}, host.roles.map((role) => wordOf("role", role)).join(", ")));
}

function show() {
  const wanted = find.value.trim().toLowerCase();
  const words = ({ name, host }) => [host.host, name, host.address, host.public_address, host.cloud.provider, host.cloud.region].join(" ").toLowerCase();
  const found = hosts.filter((each) => words(each).includes(wanted));
  document.getElementById("host-count").textContent = found.length === hosts.length ? hosts.length : `${found.length} / ${hosts.length}`;
  showRows("hosts", found.map(row));
}

const reload = coalesced(async () => {
  hosts = (await get("/hosts")).hosts;
  show();
});
const soon = paced(reload, PACE_MS);

show();
find.addEventListener("input", show);
on("resync", reload);
on("hosts", soon);
on("cladnets", soon);
connect();
