// One volume and its mounts.

import { get, post } from "./api.js";
import { make, showProblem, showRows, tag } from "./dom.js";
import { coalesced, connect, on } from "./events.js";
import { data, word, wordOf } from "./page.js";
import { size } from "./sizes.js";

const STATES = { ready: "good", failed: "bad", pending: "wait", deleting: "wait" };
const PHASES = { mounted: "good", failed: "bad", pending: "wait" };
const { group, name } = data.volume;
const path = `/v1/cladnets/${encodeURIComponent(group)}/volumes/${encodeURIComponent(name)}`;

function unmountButton(mount) {
  const button = make("button", { type: "button", class: "quiet" }, word("unmount"));
  button.addEventListener("click", async () => {
    const box = document.getElementById("unmount-problem");
    button.disabled = true;
    try {
      show(await post(`${path}/unmount`, { hosts: [mount.host] }));
      showProblem(box, null);
    } catch (error) {
      button.disabled = false;
      showProblem(box, error.document ?? { detail: error.message, hint: "" });
    }
  });
  return button;
}

function show(volume) {
  const state = document.getElementById("volume-state");
  state.textContent = wordOf("state", volume.status);
  state.dataset.kind = STATES[volume.status];
  document.getElementById("volume-used").textContent = size(volume.used_bytes);
  showProblem(document.getElementById("volume-problem"), volume.problem ? { detail: volume.problem, hint: "" } : null);
  showRows("mounts", volume.mounts.map((mount) => make("tr", {},
    make("th", { scope: "row" }, mount.host),
    make("td", { class: "code" }, mount.path),
    make("td", {}, mount.leaving ? tag(word("leaving"), "wait") : tag(wordOf("state", mount.phase), PHASES[mount.phase]),
      mount.problem ? make("span", { class: "prose faint" }, ` ${mount.problem}`) : null),
    make("td", { class: "action" }, mount.leaving ? null : unmountButton(mount)),
  )));
}

const reload = coalesced(async () => {
  try {
    show(await get(path));
  } catch (error) {
    if (error.document?.status !== 404) throw error;
    location.assign("/volumes");
  }
});

show(data.volume);
on("resync", reload);
on("volumes", (message) => message.cladnet === group && reload());
connect();
