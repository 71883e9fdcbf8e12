// The list of volumes.

import { get } from "./api.js";
import { make, showRows, tag } from "./dom.js";
import { coalesced, connect, on } from "./events.js";
import { data, wordOf } from "./page.js";
import { size } from "./sizes.js";

const KINDS = { ready: "good", failed: "bad", pending: "wait", deleting: "wait" };
const names = new Map(data.cladnets.map((cladnet) => [cladnet.id, cladnet.name]));

function show(volumes) {
  showRows("volumes", volumes.map((volume) => make("tr", {},
    make("th", { scope: "row" }, make("a", { href: `/volumes/${encodeURIComponent(volume.group)}/${encodeURIComponent(volume.name)}` }, volume.name)),
    make("td", {}, names.get(volume.group) ?? volume.group),
    make("td", { class: "number" }, size(volume.size_bytes)),
    make("td", { class: "number" }, size(volume.used_bytes)),
    make("td", {}, tag(wordOf("state", volume.status), KINDS[volume.status]), volume.problem ? make("span", { class: "prose faint" }, ` ${volume.problem}`) : null),
    make("td", {}, volume.mounts.filter((mount) => mount.phase === "mounted").map((mount) => mount.host).join(", ") || "–"),
  )));
}

const reload = coalesced(async () => show((await get("/v1/volumes")).volumes));

show(data.volumes);
on("resync", reload);
on("volumes", reload);
connect();
