// Information about the reader: intended use and performance.

import { ask } from "./service.js";

export const fetchModels = async () => (await (await ask("/v1/models")).json()).models;

// Show the intended use and the performance of a model.
export function showModel($, model) {
  const facts = model.parameters;
  const made = Object.entries(facts.intended).map(([name, value]) => madeFor(name, value)).filter(Boolean);
  for (const id of ["made-for", "empty-made-for"]) {
    $(id).textContent = made.length ? `Intended use: ${made.join(", ")}.` : "";
  }
  const good = facts.achieved;
  $("how-good").textContent = good?.sensitivity && good?.specificity
    ? `On the ${{ val: "validation ", unknown: "" }[good.part] ?? `${good.part} `}images used to choose the threshold: sensitivity ${range(good.sensitivity)}, specificity ${range(good.specificity)}. Expect lower values on images from other sources.`
    : "";
  const findings = Object.entries(facts.findings ?? {});
  const decided = findings.length
    ? [["Findings", findings.map(([name, one]) => `${name} (threshold ${one.threshold.toFixed(4)}, ${one.rule})`).join(", ")]]
    : [["Classes", facts.classes.join(", ")], ["Decision threshold", `${facts.threshold.toFixed(4)} (${facts.rule})`]];
  const rows = [
    ["Model", `${facts.name} ${model.versions.join(" ")}`], ["SHA-256", facts.sha256], ...decided,
    ["Intended use", made.join(", ")], ["Limits", facts.card.limits], ["Data", facts.card.data],
    ["Performance", $("how-good").textContent],
  ].filter(([, value]) => value);
  $("facts").replaceChildren(...rows.flatMap(([name, value]) => {
    const term = document.createElement("dt");
    const text = document.createElement("dd");
    term.textContent = name;
    text.textContent = value;
    return [term, text];
  }));
}

function madeFor(name, value) {
  if (name === "age_years") return `patients aged ${value[0]} to ${value[1]} years`;
  const called = { view: "view", modality: "modality", body_part: "body part" }[name];
  return called ? `${called} ${value.join(" or ")}` : "";
}

function range(found) {
  const digits = (value) => value.toFixed(3);
  return found.low === undefined || found.low === null ? digits(found.value)
    : `${digits(found.value)} (${Math.round(100 * found.level)}% interval ${digits(found.low)} to ${digits(found.high)})`;
}
