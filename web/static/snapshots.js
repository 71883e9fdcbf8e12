// What a volume was: its snapshots and their schedule; it goes back to one, or another volume is made of it.

import { del, post } from "./api.js";
import { ask, attend, confirmed, doing } from "./ask.js";
import { make, showRows, tag } from "./dom.js";
import { word, wordOf } from "./page.js";
import { longTime, moment } from "./times.js";

const PHASES = { made: "good", wanted: "wait", deleting: "wait" };
const state = { facts: null, page: null };

async function clone(snapshot) {
  const { volume } = state.facts;
  const wanted = await ask({
    title: word("clone.title", { name: snapshot ?? volume.name }), help: word("clone.help"), submit: word("clone"), label: word("clone.name"), value: `${volume.name}-copy`,
  });
  if (wanted === null) return;
  await post(`${state.page.path}/clone`, { name: wanted, snapshot });
  location.assign(`/volumes/${encodeURIComponent(volume.group)}/${encodeURIComponent(wanted)}`);
}

async function restore(snapshot) {
  const { volume } = state.facts;
  const hosts = volume.mounts.filter((mount) => !mount.leaving).map((mount) => mount.host);
  const help = [word("restore.help"), hosts.length ? word("restore.mounted", { hosts: hosts.join(", ") }) : ""].filter(Boolean).join(" ");
  if (!await confirmed(volume.name, { title: word("restore.title", { name: volume.name, snapshot }), help, submit: word("restore") })) return;
  await post(`${state.page.path}/snapshots/${encodeURIComponent(snapshot)}/restore`, { force: hosts.length > 0 || volume.everywhere });
  await state.page.reload();
}

async function remove(snapshot) {
  if (!await confirmed(snapshot, { title: word("snapshot.delete.title", { snapshot }), help: word("snapshot.delete.help"), submit: word("snapshot.delete") })) return;
  await del(`${state.page.path}/snapshots/${encodeURIComponent(snapshot)}`);
  await state.page.reload();
}

function row(one) {
  const { uses, box } = state.page;
  const buttons = uses && one.phase === "made" ? [
    doing(word("restore"), box, () => restore(one.name)),
    doing(word("clone"), box, () => clone(one.name)),
    doing(word("snapshot.delete"), box, () => remove(one.name), "quiet danger"),
  ] : [];
  return make("tr", {},
    make("th", { scope: "row" }, one.name),
    make("td", {}, moment(one.made_at ?? one.asked_at)),
    make("td", {}, one.scheduled ? word("by.schedule") : word("by.people")),
    make("td", {}, tag(wordOf("phase", one.phase), PHASES[one.phase])),
    make("td", { class: "action" }, ...buttons));
}

/** Show them; `page` is where the volume is in the API, whether the reader may change it, and how to read it anew. */
export function showSnapshots(facts, page) {
  const first = state.page === null;
  Object.assign(state, { facts, page });
  const { snapshots, schedule } = facts.past;
  showRows("snapshots", snapshots.map(row));
  document.getElementById("schedule-now").textContent = schedule === null ? word("schedule.none")
    : word("schedule.now", { every: longTime(schedule.every_s), keep: schedule.keep });
  if (!page.uses) return;
  document.getElementById("unschedule").hidden = schedule === null;
  if (!first) return;
  document.getElementById("clone").hidden = false;
  attend(document.getElementById("clone"), page.box, () => clone(null));
  attend(document.getElementById("unschedule"), page.box, async () => {
    await del(`${page.path}/snapshot-schedule`);
    await page.reload();
  });
}
