// One volume: how it stands, who has it, what it was and what follows it.

import { del, get, post } from "./api.js";
import { ask, attend, doing } from "./ask.js";
import { make, showProblem, showRows, tag } from "./dom.js";
import { coalesced, connect, on, paced } from "./events.js";
import { showMirrors } from "./mirrors.js";
import { data, word, wordOf } from "./page.js";
import { size } from "./sizes.js";
import { showSnapshots } from "./snapshots.js";

const PACE_MS = 1000;
const BOX = "action-problem";
const STATES = { ready: "good", failed: "bad", pending: "wait", deleting: "wait" };
const PHASES = { mounted: "good", failed: "bad", pending: "wait" };
const { group, name } = data.volume;
const path = `/v1/cladnets/${encodeURIComponent(group)}/volumes/${encodeURIComponent(name)}`;
const $ = (id) => document.getElementById(id);
const uses = $("unmount-all") !== null;
const may = (one) => one.read_only ? word("may.read") : word("may.write");

function showUse({ used_bytes: used, size_bytes: all }) {
  const part = all ? used / all : 0;
  const percent = `${Math.round(part * 100)} %`;
  $("volume-used").replaceChildren(
    make("meter", { min: 0, max: 1, high: 0.85, value: part, "aria-label": percent }), ` ${word("used", { used: size(used), total: size(all) })} (${percent})`);
}

async function unmount(hosts, wish) {
  const asked = await ask({ title: word("unmount.title", { name, hosts: hosts.join(", ") }), help: word("unmount.help"), submit: word("unmount") });
  if (asked === null) return;
  await post(`${path}/unmount`, wish);
  await reload();
}

async function unshare(host) {
  const help = `${word("unshare.help")} ${word("unmount.help")}`;
  if (await ask({ title: word("unshare.title", { name, host }), help, submit: word("unshare") }) === null) return;
  await del(`${path}/shares/${encodeURIComponent(host)}`);
  await reload();
}

function mountRow(mount) {
  return make("tr", {},
    make("th", { scope: "row" }, make("a", { href: `/hosts/${encodeURIComponent(group)}/${encodeURIComponent(mount.host)}` }, mount.host)),
    make("td", { class: "code" }, mount.path),
    make("td", {}, may(mount)),
    make("td", {}, mount.client || "–"),
    make("td", {}, mount.leaving ? tag(word("leaving"), "wait") : tag(wordOf("state", mount.phase), PHASES[mount.phase]),
      mount.problem ? make("span", { class: "prose faint" }, ` ${mount.problem}`) : null),
    make("td", { class: "action" }, mount.leaving || !uses ? null : doing(word("unmount"), BOX, () => unmount([mount.host], { hosts: [mount.host] }))));
}

function shareRow(share) {
  return make("tr", {}, make("th", { scope: "row" }, share.host), make("td", {}, may(share)),
    make("td", { class: "action" }, uses ? doing(word("unshare"), BOX, () => unshare(share.host)) : null));
}

let mounted = [];

function show(facts) {
  const { volume, shares, machines } = facts;
  mounted = volume.mounts.filter((mount) => !mount.leaving).map((mount) => mount.host);
  $("volume-state").textContent = wordOf("state", volume.status);
  $("volume-state").dataset.kind = STATES[volume.status];
  showProblem($("volume-problem"), volume.problem ? { detail: volume.problem, hint: "" } : null);
  showUse(volume);
  showRows("mounts", volume.mounts.map(mountRow));
  showRows("machines", machines.map((one) => make("tr", {}, make("th", { scope: "row" }, one.machine), make("td", {}, may(one)))));
  $("shares-everybody").hidden = shares !== null;
  $("shares-some").hidden = shares === null;
  showRows("shares", (shares ?? []).map(shareRow));
  if (uses) {
    $("unmount-all").hidden = volume.mounts.length === 0;
    $("open-to-all").hidden = shares === null;
  }
  showSnapshots(facts, { path, uses, box: BOX, reload });
  showMirrors(facts, { path, uses, box: BOX, reload });
}

const reload = coalesced(async () => {
  try {
    show(await get(`/volumes/${encodeURIComponent(group)}/${encodeURIComponent(name)}`));
  } catch (error) {
    if (error.document?.status !== 404) throw error;
    location.assign("/volumes");
  }
});

if (uses) {
  attend($("unmount-all"), BOX, () => unmount(mounted, {}));
  attend($("open-to-all"), BOX, async () => {
    await del(`${path}/shares`);
    await reload();
  });
}
show(data);
const soon = paced(reload, PACE_MS);
on("resync", reload);
on("volumes", (message) => message.cladnet === group && soon());
connect();
