// The list of images.

import { opinionText } from "./opinions.js";
import { kind, probabilityOf, probabilityText, sorted, state, verdict } from "./state.js";

export function renderList($, show) {
  const focused = document.activeElement?.dataset?.item;
  const nodes = sorted().map((item) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = kind(item);
    button.dataset.item = state.items.indexOf(item);
    if (item === state.shown) button.setAttribute("aria-current", "true");
    button.append(
      span("name", item.name), span("number", probabilityText(probabilityOf(item.record))),
      span("verdict", verdict(item)), span("opinion", item.opinion && opinionText(item.opinion) ? `you: ${opinionText(item.opinion)}` : ""),
    );
    button.addEventListener("click", () => show(item));
    const row = document.createElement("li");
    row.append(button);
    return row;
  });
  $("list").replaceChildren(...nodes);
  if (focused !== undefined) document.querySelector(`[data-item="${focused}"]`)?.focus();
  progress($);
}

function span(name, text) {
  const node = document.createElement("span");
  node.className = name;
  node.textContent = text;
  return node;
}

function progress($) {
  const { items } = state;
  const done = items.filter((item) => item.state === "done" || item.state === "failed").length;
  const bad = items.filter((item) => item.state === "failed").length;
  $("progress").textContent = !items.length ? "" : `${done} of ${items.length} read${bad ? `, ${bad} without a result` : ""}.`;
  $("list-tools").hidden = !items.length;
}
