// The page's one WebSocket: reconnects by itself, and tells whoever asked about each kind of message.

import { word } from "./page.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15000;
const RETRY_MS = 3000;
const REST = 4;

const light = document.getElementById("live");
const listeners = new Map();
let wait = FIRST_WAIT_MS;

function show(state, why = "") {
  light.dataset.state = state;
  light.textContent = word(state);
  light.title = why;
}

/** Call `listener(message)` for every message of this type; a "resync" means: read everything anew. */
export function on(type, listener) {
  if (!listeners.has(type)) listeners.set(type, []);
  listeners.get(type).push(listener);
}

/** Begin to listen. */
export function connect() {
  show("connecting");
  const socket = new WebSocket(`${location.protocol.replace("http", "ws")}//${location.host}/v1/events`);
  socket.onopen = () => {
    wait = FIRST_WAIT_MS;
    show("connected");
  };
  socket.onmessage = (event) => {
    const message = JSON.parse(event.data);
    for (const listener of listeners.get(message.type) ?? []) listener(message);
  };
  socket.onclose = () => {
    show("lost");
    setTimeout(connect, wait * (0.5 + Math.random() / 2));
    wait = Math.min(LONGEST_WAIT_MS, wait * 2);
  };
}

/**
 * Turn `run`, which returns a promise, into something that may be called often: it runs at once, and then not before
 * `pauseMs` and several times what it took last have gone by: a large network is read less often.
 */
export function paced(run, pauseMs) {
  let notBefore = 0;
  let again = false;
  let pending = false;
  const later = () => {
    again = pending;
    if (pending) return;
    pending = true;
    setTimeout(begin, Math.max(0, notBefore - performance.now()));
  };
  const begin = async () => {
    again = false;
    const began = performance.now();
    await run();
    notBefore = performance.now() + Math.max(pauseMs, REST * (performance.now() - began));
    pending = false;
    if (again) later();
  };
  return later;
}

/** Turn `read`, which fetches and shows, into something that may be called often: calls while one runs make one more. */
export function coalesced(read) {
  let running = false;
  let again = false;
  const run = async () => {
    again = true;
    if (running) return;
    running = true;
    try {
      while (again) {
        again = false;
        await read();
      }
      if (light.dataset.state === "stale") show("connected");
    } catch (error) {
      show("stale", error.message);
      setTimeout(run, RETRY_MS);
    } finally {
      running = false;
    }
  };
  return run;
}
