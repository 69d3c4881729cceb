// The page of the service: upload, list, viewer, opinions. No other origin is asked for anything.

import { Viewer } from "./viewer.js";
import { ask, AskError, setToken } from "./service.js";
import { Opinions } from "./opinions.js";
import { filesOf, keyOf } from "./files.js";
import { learnAbout } from "./about.js";

const AT_ONCE = 2;
const NOT_ASSESSABLE = "NOT_ASSESSABLE";
const UNCERTAIN = "UNCERTAIN";
const MEANINGS = {
  [NOT_ASSESSABLE]: "The reader does not judge this image. This is not a normal result.",
  [UNCERTAIN]: "The reader does not decide. A person must read this image.",
  FAILED: "There is no result for this file.",
};

const $ = (id) => document.getElementById(id);
const items = [];
let model = null;
let shown = null;
let active = 0;
const opinions = new Opinions();
const viewer = new Viewer($);

// --- files in ---

function add(files) {
  const fresh = files.filter((file) => !file.name.startsWith("."));
  for (const file of fresh) {
    const name = file.webkitRelativePath || file.name;
    items.push({ file, name, state: "waiting", record: null, reason: "", pictures: {} });
  }
  if (!fresh.length) return;
  const first = !shown;
  shown ??= items[items.length - fresh.length];
  pump();
  if (first) render();
  renderList();
}

// --- reading ---

function pump() {
  while (active < AT_ONCE) {
    const next = items.find((item) => item.state === "waiting");
    if (!next) break;
    active += 1;
    next.state = "reading";
    read(next).finally(() => {
      active -= 1;
      pump();
      renderList();
      if (shown === next) render();
    });
  }
}

async function read(item) {
  try {
    const query = item === shown && model?.parameters.draws_evidence ? "?evidence=1" : "";
    const answer = await ask(`/v1/predictions${query}`, item.file);
    item.record = await answer.json();
    if (item.record.model.sha256 !== model?.parameters.sha256) model = await learnAbout($); // it was replaced
    item.key = await keyOf(item.file);
    item.state = "done";
    item.opinion = opinions.of(item.key, item.record.model.sha256);
    online();
  } catch (fault) {
    failed(item, fault);
  }
}

function failed(item, fault) {
  item.state = "failed";
  item.reason = fault.message;
  item.again = !(fault instanceof AskError) || fault.status >= 500 || [401, 429].includes(fault.status);
  if (!(fault instanceof AskError)) {
    item.reason = "The service did not answer.";
    offline("The service does not answer. Images that were not read are kept; choose “Read again” once it is back.");
  } else if (fault.status === 401) {
    login();
  }
}

function login() { if (!$("login").open) $("login").showModal(); }

function offline(text) { $("offline").textContent = text; $("offline").hidden = false; }
function online() { $("offline").hidden = true; }

function progress() {
  const done = items.filter((item) => item.state === "done" || item.state === "failed").length;
  const bad = items.filter((item) => item.state === "failed").length;
  $("progress").textContent = !items.length ? "" : `${done} of ${items.length} read${bad ? `, ${bad} without a result` : ""}.`;
  $("list-tools").hidden = !items.length;
}

// --- the list ---

function kind(item) {
  if (item.state === "failed") return "failed";
  if (item.state !== "done") return "waiting";
  if (item.record.conclusion === NOT_ASSESSABLE) return "refused";
  if (item.record.conclusion === UNCERTAIN) return "unsure";
  return item.record.probability >= item.record.threshold ? "positive" : "negative";
}

// Those that need a person first: no result, not judged, undecided; then by probability.
const ORDER = { failed: 0, refused: 1, unsure: 2, positive: 3, negative: 4, waiting: 5 };

function sorted() {
  const chance = (item) => item.record?.probability ?? 0;
  return [...items].sort((a, b) => ORDER[kind(a)] - ORDER[kind(b)] || chance(b) - chance(a));
}

function renderList() {
  const focused = document.activeElement?.dataset?.item;
  const nodes = sorted().map((item) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = kind(item);
    button.dataset.item = items.indexOf(item);
    if (item === shown) button.setAttribute("aria-current", "true");
    button.append(
      span("name", item.name), span("number", probabilityText(item.record?.probability)),
      span("verdict", verdict(item)), span("opinion", item.opinion?.label ? `you: ${item.opinion.label}` : ""),
    );
    button.addEventListener("click", () => show(item));
    const row = document.createElement("li");
    row.append(button);
    return row;
  });
  $("list").replaceChildren(...nodes);
  if (focused !== undefined) document.querySelector(`[data-item="${focused}"]`)?.focus();
  progress();
}

function span(name, text) {
  const node = document.createElement("span");
  node.className = name;
  node.textContent = text;
  return node;
}

function verdict(item) {
  if (item.state === "failed") return "NO RESULT";
  return item.state === "done" ? words(item.record.conclusion) : item.state === "reading" ? "reading …" : "waiting";
}

const words = (conclusion) => conclusion.replaceAll("_", " ");

function probabilityText(value) {
  if (value === null || value === undefined) return "";
  if (value > 0.9995) return ">0.999";
  return value < 0.0005 ? "<0.001" : value.toFixed(3);
}

function step(by) {
  const order = sorted();
  const next = order[order.indexOf(shown) + by];
  if (next) show(next);
}

// --- one image ---

function show(item) {
  shown = item;
  render();
  renderList();
  $(`list`).querySelector('[aria-current="true"]')?.scrollIntoView({ block: "nearest" });
}

function render() {
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
  renderScale(record);
  renderOpinion();
  $("retry").hidden = !(shown.state === "failed" && shown.again);
  renderPictures(shown);
}

function renderPrinted() {
  if (!shown) return;
  const { record, opinion } = shown;
  const lines = [
    opinion?.label ? `Opinion of the person who printed this: ${opinion.label}.` : "",
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

function renderScale(record) {
  const known = record && record.probability !== null;
  $("scale").hidden = !known;
  if (!known) return;
  const [negative, positive] = model?.parameters.classes ?? ["negative", "positive"];
  const zone = model?.parameters.uncertain_zone;
  place($("value"), record.probability);
  place($("limit"), record.threshold);
  $("zone").hidden = !zone;
  $("scale-legend").textContent = `Dashed: decision threshold${zone ? "; hatched: the reader does not decide" : ""}.`;
  if (zone) {
    place($("zone"), zone[0]);
    $("zone").style.width = `${100 * (zone[1] - zone[0])}%`;
  }
  $("scale-low").textContent = `0 ${negative}`;
  $("scale-high").textContent = `${positive} 1`;
  const text = `probability ${probabilityText(record.probability)}, threshold ${record.threshold.toFixed(3)}`;
  $("scale-text").textContent = text;
  $("bar").setAttribute("aria-label", `Probability of ${positive} ${probabilityText(record.probability)}; the threshold is ${record.threshold.toFixed(3)}${zone ? `; undecided from ${zone[0].toFixed(3)} to ${zone[1].toFixed(3)}` : ""}`);
}

const place = (node, share) => { node.style.left = `${100 * share}%`; };

async function renderPictures(item) {
  viewer.wait();
  try {
    item.pictures.plain ??= urlOf(await ask("/v1/pictures", item.file));
    const plain = await item.pictures.plain;
    if (shown === item) await viewer.plain(plain, item.name);
  } catch (fault) {
    delete item.pictures.plain;
    if (shown === item) viewer.nothing(fault instanceof AskError ? "This file cannot be shown." : "The service does not answer.");
    return;
  }
  if (item.state !== "done") return;
  const possible = model?.parameters.draws_evidence && item.record.probability !== null;
  if (!possible) {
    if (shown === item) viewer.noEvidence(item.record.probability === null ? "Images that are not judged have no evidence." : "This reader shows no evidence.");
    return;
  }
  try {
    item.pictures.marked ??= evidenceOf(item);
    const marked = await item.pictures.marked;
    if (shown === item) await viewer.marked(marked);
  } catch {
    delete item.pictures.marked;
    if (shown === item) viewer.noEvidence("The evidence could not be loaded.");
  }
}

async function evidenceOf(item) {
  try {
    if (item.record.evidence) return await urlOf(await ask(item.record.evidence));
  } catch (fault) {
    if (!(fault instanceof AskError)) throw fault; // an older link has expired
  }
  const answer = await ask("/v1/predictions?evidence=1", item.file);
  item.record = await answer.json();
  return await urlOf(await ask(item.record.evidence));
}

const urlOf = async (answer) => URL.createObjectURL(await answer.blob());

// --- opinions ---

function renderOpinion() {
  const { record } = shown;
  $("opinion").hidden = !record;
  if (!record) return;
  const classes = model?.parameters.classes ?? [];
  const concluded = classes.includes(record.conclusion);
  const choices = concluded
    ? [["Agree", record.conclusion], ["Disagree", classes.find((name) => name !== record.conclusion)]]
    : record.conclusion === UNCERTAIN ? classes.map((name) => [`It is ${name}`, name]) : [];
  $("opinions").replaceChildren(...choices.map(([text, label]) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.setAttribute("aria-pressed", String(shown.opinion?.label === label));
    button.addEventListener("click", () => decide(label));
    return button;
  }));
  $("note").value = shown.opinion?.note ?? "";
}

function decide(label) {
  const taken = shown.opinion?.label === label;
  keep({ label: taken ? "" : label });
  renderOpinion();
  renderList();
}

function keep(change) {
  const { record, key, name } = shown;
  if (!record || !key) return;
  shown.opinion = opinions.keep(key, record, { name, classes: model.parameters.classes, ...shown.opinion, ...change });
}

function choose(number) {
  const button = $("opinions").children[number];
  if (button) button.click();
}

// --- events ---

function press(id, wanted) {
  const button = $(id);
  const on = wanted ?? button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(on));
  return on;
}

function theme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  press("theme", dark);
}

const count = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;

function save(text, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const KEYS = {
  o: () => $("files").click(), j: () => step(1), k: () => step(-1),
  e: () => $("evidence").click(), s: () => $("beside").click(), i: () => $("invert").click(),
  "+": () => viewer.zoomBy(1.25), "=": () => viewer.zoomBy(1.25), "-": () => viewer.zoomBy(0.8),
  0: () => viewer.fit(), 1: () => viewer.native(),
  "[": () => viewer.levels(-16, 0), "]": () => viewer.levels(16, 0),
  ",": () => viewer.levels(0, -8), ".": () => viewer.levels(0, 8),
  a: () => choose(0), d: () => choose(1), n: () => $("note").focus(), p: () => window.print(),
  "?": () => $("help").showModal(),
};

function listen() {
  $("pick-files").addEventListener("click", () => $("files").click());
  $("pick-folder").addEventListener("click", () => $("folder").click());
  for (const id of ["files", "folder"]) {
    $(id).addEventListener("change", (event) => { add([...event.target.files]); event.target.value = ""; });
  }
  document.addEventListener("paste", (event) => add([...event.clipboardData.files]));
  document.addEventListener("dragover", (event) => { event.preventDefault(); $("drop").classList.add("over"); });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("drop").classList.remove("over"); });
  document.addEventListener("drop", async (event) => {
    event.preventDefault();
    $("drop").classList.remove("over");
    add(await filesOf(event.dataTransfer));
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input:not([type=range]):not([type=checkbox]), textarea");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const wanted = $("shortcuts").checked && KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (wanted) { event.preventDefault(); wanted(); }
  });
  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  $("evidence").addEventListener("click", () => viewer.showEvidence(press("evidence")));
  $("beside").addEventListener("click", () => viewer.sideBySide(press("beside")));
  $("invert").addEventListener("click", () => viewer.invert(press("invert")));
  $("print").addEventListener("click", () => window.print());
  $("retry").addEventListener("click", () => {
    for (const item of items) if (item.state === "failed" && item.again) item.state = "waiting";
    pump();
    render();
    renderList();
  });
  $("note").addEventListener("input", () => keep({ note: $("note").value }));
  window.addEventListener("beforeprint", renderPrinted);
  $("export").addEventListener("click", () => {
    const { labelled, notes } = opinions.counts();
    if (labelled) save(opinions.csv(), "opinions.csv");
    $("saved").textContent = `${labelled ? `${count(labelled, "opinion")} saved` : "There is no opinion to save"}${notes ? `; ${count(notes, "note")} without an opinion ${notes === 1 ? "stays" : "stay"} in this browser` : ""}.`;
  });
  $("clear").addEventListener("click", () => {
    for (const item of items) for (const url of Object.values(item.pictures)) Promise.resolve(url).then(URL.revokeObjectURL, () => {});
    items.length = 0;
    shown = null;
    render();
    renderList();
  });
  $("forget").addEventListener("click", () => { opinions.forget(); for (const item of items) item.opinion = null; renderList(); if (shown) render(); });
  $("help-open").addEventListener("click", () => $("help").showModal());
  $("about-open").addEventListener("click", () => $("about").showModal());
  $("theme").addEventListener("click", () => theme(press("theme")));
  $("login").addEventListener("close", () => {
    setToken($("token").value);
    for (const item of items) if (item.state === "failed" && item.again) item.state = "waiting";
    start();
    pump();
    renderList();
  });
}

async function start() {
  try {
    model = await learnAbout($);
    online();
  } catch (fault) {
    if (fault instanceof AskError && fault.status === 401) login();
    else offline("The service does not answer. Reload the page once it is running.");
  }
}

theme(window.matchMedia("(prefers-color-scheme: dark)").matches);
listen();
start();
