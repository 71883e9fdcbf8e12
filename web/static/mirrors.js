// What follows a volume from another place, and what it follows itself.

import { del, post } from "./api.js";
import { confirmed, doing } from "./ask.js";
import { make, showRows, tag } from "./dom.js";
import { word, wordOf } from "./page.js";
import { longTime } from "./times.js";

const STATES = { "in-sync": "good", waiting: "wait", stopped: "wait", trashed: "wait", late: "bad", unreadable: "bad" };

const behind = (mirror) => mirror.lag_s === null ? word("mirror.nothing") : word("mirror.behind", { lag: longTime(mirror.lag_s) });

function buttons(mirror, { uses, box, reload }) {
  if (!uses) return [];
  const its = `/v1/cladnets/${encodeURIComponent(mirror.group)}/mirrors/${encodeURIComponent(mirror.name)}`;
  const { name } = mirror;
  const run = (what) => async () => {
    await what();
    await reload();
  };
  return [
    doing(word("mirror.now"), box, run(() => post(`${its}/now`, {}))),
    doing(word("mirror.promote"), box, run(async () => {
      const help = `${word("mirror.promote.help")} ${behind(mirror)}`;
      if (await confirmed(name, { title: word("mirror.promote.title", { name }), help, submit: word("mirror.promote") })) await post(`${its}/promote`, { force: true });
    }), "quiet danger"),
    doing(word("mirror.stop"), box, run(async () => {
      if (await confirmed(name, { title: word("mirror.stop.title", { name }), help: word("mirror.stop.help"), submit: word("mirror.stop") })) await del(its);
    }), "quiet danger"),
  ];
}

function row(mirror, page) {
  return make("tr", {},
    make("th", { scope: "row" }, make("a", { href: `/volumes/${encodeURIComponent(mirror.group)}/${encodeURIComponent(mirror.name)}` }, mirror.name)),
    make("td", {}, mirror.promise?.home || "–"),
    make("td", {}, tag(wordOf("mirror.state", mirror.status), STATES[mirror.status]), mirror.problem ? make("span", { class: "prose faint" }, ` ${mirror.problem}`) : null),
    make("td", {}, behind(mirror)),
    make("td", { class: "action" }, ...buttons(mirror, page)));
}

/** Show both; `page` as of `showSnapshots`. */
export function showMirrors({ mirrors, mirror }, page) {
  showRows("mirrors", mirrors.map((one) => row(one, page)));
  document.getElementById("follows").hidden = mirror === null;
  if (mirror === null) return;
  document.getElementById("follows-words").replaceChildren(
    word("mirror.follows", { source: mirror.source || mirror.source_id, every: longTime(mirror.every_s) }), " ",
    tag(wordOf("mirror.state", mirror.status), STATES[mirror.status]), " ", behind(mirror));
  document.getElementById("follows-actions")?.replaceChildren(...buttons(mirror, page));
}
