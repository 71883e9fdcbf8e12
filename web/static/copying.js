// Buttons that put the text of an element on the clipboard.

import { word } from "./page.js";

export function copyButtons() {
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
      button.textContent = word("copied");
    });
  }
}
