// Asks before something is done: says what it means, and wants a name typed where something is lost.

import { make, showProblem } from "./dom.js";
import { word } from "./page.js";

/**
 * Show a dialog and return what was typed, or null if it was closed otherwise.
 *
 * `label` is of its one field, which begins with `value` and, with `wanted`, has to hold exactly that; without a label
 * there is no field, and the answer is an empty text.
 */
export function ask({ title, help, submit, label = null, value = "", wanted = null, required = true }) {
  const before = document.activeElement;
  const input = label === null ? null : make("input", { value, required, autocomplete: "off", spellcheck: "false", maxlength: 63 });
  const cancel = make("button", { type: "button" }, word("ask.cancel"));
  const form = make("form", { class: "stack" },
    make("h2", { id: "ask-title" }, title),
    make("p", { class: "help" }, help),
    input === null ? null : make("label", {}, make("span", {}, label), input),
    make("div", { class: "inline" }, make("button", { class: wanted === null ? "primary" : "danger" }, submit), cancel));
  const dialog = make("dialog", { "aria-labelledby": "ask-title" }, form);
  return new Promise((resolve) => {
    let answer = null;
    cancel.addEventListener("click", () => dialog.close());
    input?.addEventListener("input", () => input.setCustomValidity(""));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const typed = input === null ? "" : input.value.trim();
      if (wanted !== null && typed !== wanted) {
        input.setCustomValidity(word("ask.mismatch", { wanted }));
        input.reportValidity();
        return;
      }
      answer = typed;
      dialog.close();
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      before?.focus?.();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Ask for a name to be typed before something is lost; whether it was. */
export async function confirmed(name, { title, help, submit }) {
  return (await ask({ title, help, submit, label: word("ask.type", { wanted: name }), wanted: name })) !== null;
}

/** A button that does something; while that runs it cannot be pressed, and a refusal is shown in the box of this id. */
export function doing(label, box, run, kind = "quiet") {
  const button = make("button", { type: "button", class: kind }, label);
  attend(button, box, run);
  return button;
}

/** The same for a button that is there already. */
export function attend(button, box, run) {
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await run();
      showProblem(document.getElementById(box), null);
    } catch (error) {
      showProblem(document.getElementById(box), error.document ?? { detail: error.message, hint: "" });
    } finally {
      button.disabled = false;
    }
  });
}
