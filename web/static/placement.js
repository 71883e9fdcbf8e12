// Where the members of a clustered service should run: the model, the hosts, every single failure.

import { get } from "./api.js";
import { make, showProblem, showRows, tag } from "./dom.js";
import { coalesced, connect, on, paced } from "./events.js";
import { milliseconds } from "./lines.js";
import { data, word, wordOf } from "./page.js";

const PACE_MS = 3000;
const OUTCOMES = { chosen: "good", slower: "wait", "no-gain": "wait" };
const QUESTIONS = ["csp", "region", "zone"];
const $ = (name) => document.getElementById(name);

/** The last part of `csp/region/zone`. */
const last = (place) => place.split("/").at(-1);

function memberRow(member, leader) {
  const site = member.site;
  return make("tr", {},
    make("th", { scope: "row" }, make("a", { href: `/hosts/${encodeURIComponent(data.cladnet.id)}/${encodeURIComponent(site.host)}` }, site.host),
      ...(site.host === leader ? [" ", tag(word("placement.leads"), "good")] : [])),
    make("td", {}, site.csp),
    make("td", {}, last(site.region)),
    make("td", {}, last(site.zone)),
    make("td", {}, site.area),
    make("td", {}, milliseconds(member.write_ms)));
}

/** Why so; what is missing for a model is told in English, as the command tells it. */
function why(verdict, advice) {
  const values = { model: advice.model, ms: milliseconds(advice.write_ms), survive: wordOf("survive", advice.survive) };
  switch (verdict.outcome) {
    case "chosen": return word("why.chosen", values);
    case "promises-less": return word("why.less", values);
    case "slower": return word("why.slower", values);
    case "no-gain": return word("why.same", values);
    default: return make("span", { lang: "en" }, verdict.reason);
  }
}

function verdictRow(verdict, advice) {
  return make("tr", {},
    make("th", { scope: "row" }, `${verdict.model}. ${wordOf("model", verdict.model)}`),
    make("td", {}, tag(wordOf("outcome", verdict.outcome), OUTCOMES[verdict.outcome])),
    make("td", { class: "prose" }, why(verdict, advice)),
    make("td", {}, milliseconds(verdict.write_ms)));
}

/** Failures that take the same members are one row. */
function byLoss(failures) {
  const lines = new Map();
  for (const failure of failures) {
    const lost = JSON.stringify(failure.lost);
    lines.set(lost, [...(lines.get(lost) ?? []), failure]);
  }
  return [...lines.values()];
}

function failureRow(same) {
  const [first] = same;
  return make("tr", {},
    make("th", { scope: "row", class: "prose" }, same.map((each) => `${wordOf("failing", each.kind)} ${each.name}`).join(", ")),
    make("td", {}, String(first.left)),
    make("td", {}, tag(word(first.survived ? "yes" : "no"), first.survived ? "good" : "bad")),
    make("td", {}, word(same.some((each) => each.promised) ? "yes" : "no")),
    make("td", {}, milliseconds(first.write_ms)));
}

function showAdvice(advice) {
  $("model").textContent = word("placement.chosen", { model: advice.model, title: wordOf("model", advice.model) });
  $("write").textContent = milliseconds(advice.write_ms);
  $("write-worst").textContent = word("placement.write.words", {
    majority: advice.majority, nodes: advice.nodes, leader: advice.leader, worst: milliseconds(advice.worst_write_ms),
  });
  $("questions").replaceChildren(...advice.path.map((answer, index) => make("li", {},
    wordOf("must", QUESTIONS[index]), " ", make("strong", {}, word(answer.yes ? "yes" : "no")))));
  showRows("members", advice.members.map((member) => memberRow(member, advice.leader)));
  showRows("verdicts", advice.verdicts.map((verdict) => verdictRow(verdict, advice)));
  showRows("failures", byLoss(advice.failures).map(failureRow));
  $("guessed").hidden = advice.estimated.length === 0;
  $("guessed").textContent = word("placement.guessed", { pairs: advice.estimated.map((pair) => pair.join(" ↔ ")).join(", ") });
  $("warnings").hidden = advice.warnings.length === 0;
  $("warnings").replaceChildren(...advice.warnings.map((warning) => make("li", {}, tag(wordOf("severity", "note"), "wait"), make("p", {}, warning))));
}

function show({ placement, problem }) {
  showProblem($("placement-problem"), problem);
  $("placement").hidden = placement === null;
  if (placement !== null) showAdvice(placement);
}

const reload = coalesced(async () => show((await get(location.pathname + location.search)).advice));
const reloadSoon = paced(reload, PACE_MS);
const mine = (message) => message.cladnet === data.cladnet.id;

show(data.advice);
on("resync", reload);
for (const kind of ["hosts", "status", "status-cleared"]) on(kind, (message) => mine(message) && reloadSoon());
on("cladnets", (message) => mine(message) && reload());
connect();
