// Builds elements. Text only ever becomes text: nothing that a host or a user wrote is read as markup.

/** An element with attributes and children; strings become text nodes, `null` is left out. */
export function make(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same for drawings. */
export function draw(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A coloured word for a state; the colour repeats what the word says. */
export function tag(text, kind) {
  return make("span", { class: "tag", "data-kind": kind }, text);
}

/** Show rows in the live table of that name, or its remark that there are none. */
export function showRows(name, rows) {
  const table = document.querySelector(`table[data-live="${name}"]`);
  table.tBodies[0].replaceChildren(...rows);
  table.parentElement.hidden = rows.length === 0;
  document.querySelector(`[data-empty="${name}"]`).hidden = rows.length !== 0;
}

/** Show or hide a problem document in a box. */
export function showProblem(box, problem) {
  box.hidden = problem === null;
  box.replaceChildren();
  if (problem !== null) {
    box.append(make("strong", {}, problem.detail));
    if (problem.hint) box.append(make("span", {}, problem.hint));
  }
}
