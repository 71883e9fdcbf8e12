// What the page was rendered with, and the words for people; both come as JSON blocks.

const block = (id) => JSON.parse(document.getElementById(id).textContent);

export const data = block("page-data");
const words = block("words");

/** The words for one of several values that share the beginning of their keys, as the states do; the value itself for one of a later version. */
export function wordOf(kind, value) {
  return words[`${kind}.${value}`] ?? value;
}

/** The words for `key`, with `{name}` replaced by values. */
export function word(key, values = {}) {
  return words[key].replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}
