// Opinions on images, stored in this browser under the hashes of image and model.

const PLACE = "pneumoscope-opinions";
const COLUMNS = ["path", "patient", "label", "logit", "probability", "conclusion", "opinion", "note", "sha256", "model_sha256", "time"];

// Further columns for more than two classes, in addition to the probability of each class.
const OF_CLASSES = ["class", "positive_classes", "positive_group"];

export class Opinions {
  constructor() {
    try {
      this.all = JSON.parse(localStorage.getItem(PLACE)) ?? {};
    } catch {
      this.all = {}; // no storage here, or something else's
    }
  }

  of(key, model) {
    return this.all[`${key} ${model}`] ?? null;
  }

  // `label` is a class; for a model of several findings, `findings` is {name: 1 or 0} for some of them.
  keep(key, record, { name, classes, positive, group, label = "", findings = {}, note = "" }) {
    const place = `${key} ${record.model.sha256}`;
    if (!label && !note && !Object.keys(findings).length) {
      delete this.all[place];
      this.save();
      return null;
    }
    this.all[place] = {
      label, findings, note, name, classes, positive, group, key, probabilities: record.probabilities ?? null,
      said: record.findings ?? null,
      logit: record.logit, probability: record.probability, conclusion: record.conclusion,
      model: record.model.sha256, time: new Date().toISOString(),
    };
    this.save();
    return this.all[place];
  }

  forget() {
    this.all = {};
    this.save();
  }

  save() {
    try {
      localStorage.setItem(PLACE, JSON.stringify(this.all));
    } catch {
      // In private windows, or if the storage is full, they are kept until the page is closed.
    }
  }

  // The opinions that have a label, and how many notes have none: `evaluate` and `recalibrate`
  // take labelled images alone. With `findings`, those about models of these findings, else those
  // about models of classes: one table holds one kind.
  labelled(findings = []) {
    const of = findings.join("|");
    return Object.values(this.all).filter((one) => hasLabel(one) && Object.keys(one.said ?? {}).join("|") === of);
  }

  counts(findings) {
    const notes = Object.values(this.all).filter((one) => !hasLabel(one)).length;
    return { labelled: this.labelled(findings).length, notes };
  }

  csv(findings) {
    return findings?.length ? tableOfFindings(this.labelled(findings), findings) : tableOfClasses(this.labelled());
  }
}

// The opinion in words; empty without a label.
export function opinionText({ label, findings }) {
  return label || Object.entries(findings ?? {}).map(([name, there]) => `${name} ${there ? "present" : "absent"}`).join(", ");
}

function tableOfClasses(labelled) {
  const names = namesOfAll(labelled);
  const rows = labelled.map((one) => [
    one.name, "", isPositive(one) ? 1 : 0, one.logit, one.probability, one.conclusion,
    one.label === one.conclusion ? "agree" : one.classes.includes(one.conclusion) ? "disagree" : "decided",
    one.note, isDigest(one.key) ? one.key : "", one.model, one.time,
    ...(names.length ? [one.label, one.positive.join("|"), groupOf(one), ...names.map((name) => one.probabilities[name])] : []),
  ]);
  const columns = names.length ? [...COLUMNS, ...OF_CLASSES, ...names.map((name) => `probability ${name}`)] : COLUMNS;
  return table(columns, rows);
}

// The label is empty for a finding without an opinion.
function tableOfFindings(labelled, names) {
  const columns = [
    "path", "patient", "conclusion", "note", "sha256", "model_sha256", "time",
    ...["label", "logit", "probability"].flatMap((what) => names.map((name) => `${what} ${name}`)),
  ];
  const rows = labelled.map((one) => [
    one.name, "", one.conclusion, one.note, isDigest(one.key) ? one.key : "", one.model, one.time,
    ...names.map((name) => one.findings[name] ?? ""),
    ...["logit", "probability"].flatMap((what) => names.map((name) => one.said[name][what])),
  ]);
  return table(columns, rows);
}

const table = (columns, rows) => [columns, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";

// The classes shared by all opinions if there are more than two; otherwise none.
function namesOfAll(opinions) {
  const [first, ...others] = opinions.map((one) => Object.keys(one.probabilities ?? {}));
  const same = first?.length > 2 && others.every((names) => names.join("|") === first.join("|"));
  return same ? first : [];
}

const groupOf = (one) => (one.group === one.positive.join(" or ") ? "" : one.group ?? "");
const isPositive = (one) => (one.positive ?? one.classes.slice(-1)).includes(one.label);
const hasLabel = (one) => (one.label && one.probability !== null) || Object.keys(one.findings ?? {}).length > 0;
const isDigest = (key) => /^[0-9a-f]{64}$/.test(key);

// A cell that a spreadsheet would interpret as a formula gets an apostrophe; numbers are unchanged.
function cell(value) {
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
