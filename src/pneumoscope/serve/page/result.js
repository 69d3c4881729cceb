// The result for one image: conclusion, scale and reasons; and the same for printing.

import { opinionText } from "./opinions.js";
import { findingsOf, kind, NOT_ASSESSABLE, POSITIVE, probabilityText, state, UNCERTAIN, verdict } from "./state.js";

const MEANINGS = {
  [NOT_ASSESSABLE]: "The reader cannot assess this image. This is not a normal result.",
  [UNCERTAIN]: "The reader is uncertain. A person must read this image.",
  FAILED: "There is no result for this file.",
};

export function renderResult($) {
  const { shown } = state;
  $("empty").hidden = Boolean(shown);
  $("case").hidden = !shown;
  if (!shown) return;
  const { record } = shown;
  $("said").className = `said ${kind(shown)}`;
  $("file").textContent = shown.name;
  $("conclusion").textContent = verdict(shown);
  $("meaning").textContent = shown.state === "failed" ? MEANINGS.FAILED : MEANINGS[record?.conclusion] ?? "";
  const reasons = shown.state === "failed" ? [shown.reason] : record?.reasons ?? [];
  $("reasons").replaceChildren(...reasons.map((text) => {
    const row = document.createElement("li");
    row.textContent = text;
    return row;
  }));
  renderScale($, record);
  $("retry").hidden = !(shown.state === "failed" && shown.again);
}

function renderScale($, record) {
  const { model } = state;
  const known = record && record.probability !== null && !record.findings;
  $("scale").hidden = !known;
  if (!known) return;
  const [negative, positive] = model?.parameters.pair ?? ["negative", "positive"];
  const zone = model?.parameters.uncertain_zone;
  place($("value"), record.probability);
  place($("limit"), record.threshold);
  $("zone").hidden = !zone;
  $("scale-legend").textContent = `Dashed: decision threshold${zone ? "; hatched: uncertain zone" : ""}.`;
  if (zone) {
    place($("zone"), zone[0]);
    $("zone").style.width = `${100 * (zone[1] - zone[0])}%`;
  }
  $("scale-low").textContent = `0 ${negative}`;
  $("scale-high").textContent = `${positive} 1`;
  const text = `probability ${probabilityText(record.probability)}, threshold ${record.threshold.toFixed(3)}`;
  $("scale-text").textContent = text;
  const each = Object.entries(record.probabilities ?? {});
  $("each").textContent = each.length > 2 ? each.map(([name, value]) => `${name} ${probabilityText(value)}`).join(", ") : "";
  $("bar").setAttribute("aria-label", `Probability of ${positive} ${probabilityText(record.probability)}; the threshold is ${record.threshold.toFixed(3)}${zone ? `; uncertain from ${zone[0].toFixed(3)} to ${zone[1].toFixed(3)}` : ""}`);
}

// The findings of an image, one row each. `chosen` returns the opinion on a finding, `choose` stores
// it, and `draw` shows the evidence.
export function renderFindings($, { drawn, chosen, choose, draw }) {
  const { record } = state.shown ?? {};
  const rows = findingsOf(record);
  $("findings").hidden = !rows.length;
  $("findings-rows").replaceChildren(...rows.map(([name, said]) => {
    const row = document.createElement("tr");
    row.className = { [POSITIVE]: "positive", [UNCERTAIN]: "unsure" }[said.conclusion] ?? "negative";
    const title = cell("th", draw ? button(name, drawn === name, `Evidence of ${name}`, () => draw(name)) : name);
    title.scope = "row";
    const opinion = cell("td", ...[["present", 1], ["absent", 0]].map(
      ([word, label]) => button(word, chosen(name) === label, `${name} ${word}`, () => choose(name, label)),
    ));
    opinion.className = "screen";
    row.append(
      title, cell("td", said.conclusion),
      cell("td", `${probabilityText(said.probability)} (${said.threshold.toFixed(3)})`), opinion,
    );
    return row;
  }));
}

function cell(kind, ...content) {
  const node = document.createElement(kind);
  node.append(...content);
  return node;
}

function button(text, pressed, label, act) {
  const node = document.createElement("button");
  node.type = "button";
  node.textContent = text;
  node.setAttribute("aria-label", label);
  node.setAttribute("aria-pressed", String(pressed));
  node.addEventListener("click", act);
  return node;
}

const place = (node, share) => { node.style.left = `${100 * share}%`; };

export function renderPrinted($) {
  const { shown } = state;
  if (!shown) return;
  const { record, opinion } = shown;
  const lines = [
    opinion && opinionText(opinion) ? `Opinion of the person who printed this: ${opinionText(opinion)}.` : "",
    opinion?.note ? `Note: ${opinion.note}` : "",
    record ? `Model ${record.model.name} ${record.model.version}, SHA-256 ${record.model.sha256}.` : "",
    `Printed ${new Date().toISOString().slice(0, 16).replace("T", " ")} UTC. Research software, not a medical device.`,
  ].filter(Boolean);
  $("print-facts").replaceChildren(...lines.map((text) => {
    const line = document.createElement("p");
    line.textContent = text;
    return line;
  }));
}
