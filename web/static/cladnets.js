// The list of CLADNets.

import { get } from "./api.js";
import { make, showRows, tag } from "./dom.js";
import { coalesced, connect, on } from "./events.js";
import { data, wordOf } from "./page.js";

function show(cladnets) {
  showRows("cladnets", cladnets.map((cladnet) => make("tr", {},
    make("th", { scope: "row" }, make("a", { href: `/cladnets/${encodeURIComponent(cladnet.id)}` }, cladnet.name)),
    make("td", { class: "code" }, cladnet.cidr, ...(cladnet.cidr6 ? [make("br"), cladnet.cidr6] : [])),
    make("td", { class: "prose" }, cladnet.description),
    make("td", {}, cladnet.rule_type),
    make("td", {}, tag(wordOf("state", cladnet.state), cladnet.state === "active" ? "good" : "wait")),
    make("td", { class: "code faint" }, cladnet.id),
  )));
}

const reload = coalesced(async () => show((await get("/v1/cladnets")).cladnets));

show(data.cladnets);
on("resync", reload);
on("cladnets", reload);
connect();
