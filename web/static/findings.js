// What is wrong, why, and what to do about it.

import { make, tag } from "./dom.js";
import { wordOf } from "./page.js";

export const SEVERITIES = { problem: "bad", warning: "wait", note: "good" };

/** Words in which backquotes stand around what is typed. */
function withCode(words) {
  return words.split("`").map((part, index) => (index % 2 ? make("code", {}, part) : part));
}

/** Fill a list with findings `{severity, about, what, do}`. */
export function showFindings(list, findings) {
  list.hidden = findings.length === 0;
  list.replaceChildren(...findings.map((finding) => make("li", {},
    tag(wordOf("severity", finding.severity), SEVERITIES[finding.severity]),
    make("div", {},
      make("p", {}, make("strong", {}, finding.about), " ", finding.what),
      finding.do ? make("p", { class: "faint" }, "→ ", ...withCode(finding.do)) : null))));
}
