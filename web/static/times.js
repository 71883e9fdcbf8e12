// Times for people, in the page's language.

const STEPS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const language = document.documentElement.lang;

/** A moment, from ISO 8601; a dash for none. */
export function moment(iso) {
  return iso ? new Date(iso).toLocaleString(language, { dateStyle: "medium", timeStyle: "short" }) : "–";
}

/** A span of seconds, in its largest unit. */
export function longTime(seconds) {
  const [unit, length] = STEPS.find(([, each]) => seconds >= each) ?? STEPS.at(-1);
  const rounded = Math.round((seconds / length) * 10) / 10;
  return new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "long" }).format(rounded);
}
