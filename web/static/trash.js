// Deleted volumes: taken back, or destroyed.

import { del, get, post } from "./api.js";
import { ask, confirmed, doing } from "./ask.js";
import { make, showRows, tag } from "./dom.js";
import { coalesced, connect, on } from "./events.js";
import { data, word } from "./page.js";
import { size } from "./sizes.js";
import { longTime, moment } from "./times.js";

const BOX = "trash-problem";

function buttons(cladnet, volume) {
  const path = `/v1/cladnets/${encodeURIComponent(cladnet.id)}/volume-trash/${encodeURIComponent(volume.id)}`;
  const { name } = volume;
  return [
    doing(word("trash.restore"), BOX, async () => {
      const wanted = await ask({ title: word("trash.restore.title", { name }), help: word("trash.restore.help"), submit: word("trash.restore"), label: word("trash.restore.name"), value: name });
      if (wanted !== null) await post(`${path}/undelete`, { name: wanted });
      await reload();
    }),
    doing(word("trash.purge"), BOX, async () => {
      const help = word("trash.purge.help", { used: size(volume.used_bytes) });
      if (await confirmed(name, { title: word("trash.purge.title", { name }), help, submit: word("trash.purge") })) await del(path);
      await reload();
    }, "quiet danger"),
  ];
}

function row(cladnet, volume) {
  return make("tr", {},
    make("th", { scope: "row" }, volume.name),
    make("td", {}, cladnet.name),
    make("td", {}, size(volume.used_bytes)),
    make("td", {}, moment(volume.deleted_at)),
    make("td", {}, volume.purging ? tag(word("trash.purging"), "wait") : longTime(volume.remaining_s)),
    make("td", { class: "action" }, ...(volume.purging || !cladnet.may ? [] : buttons(cladnet, volume))));
}

function show({ cladnets }) {
  showRows("trash", cladnets.flatMap((cladnet) => cladnet.volumes.map((volume) => row(cladnet, volume))));
}

const reload = coalesced(async () => show(await get("/volumes/trash")));

show(data);
on("resync", reload);
on("volumes", reload);
connect();
