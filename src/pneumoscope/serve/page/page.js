// The page of the service: files in, and what buttons and keys do. No other origin is asked.

import { Viewer } from "./viewer.js";
import { AskError, setToken } from "./service.js";
import { Opinions } from "./opinions.js";
import { filesOf } from "./files.js";
import { fetchModels, showModel } from "./about.js";
import { evidenceOf, plainOf, Reading } from "./reading.js";
import { renderFindings, renderPrinted, renderResult } from "./result.js";
import { renderList } from "./list.js";
import { drawnOf, forgetPictures, NOT_ASSESSABLE, sorted, state, wait } from "./state.js";

const $ = (id) => document.getElementById(id);
const opinions = new Opinions();
const viewer = new Viewer($);
const reading = new Reading({
  opinions,
  changed(item) { list(); if (state.shown === item) render(); },
  replaced: learn,
  faults: { login, offline, none: online },
});

// --- files in ---

function add(files) {
  const fresh = files.filter((file) => !file.name.startsWith("."));
  for (const file of fresh) {
    const name = file.webkitRelativePath || file.name;
    state.items.push({ file, name, state: "waiting", record: null, reason: "", pictures: {} });
  }
  if (!fresh.length) return;
  const first = !state.shown;
  state.shown ??= state.items[state.items.length - fresh.length];
  reading.pump();
  if (first) render();
  list();
}

// --- the service ---

function login() { if (!$("login").open) $("login").showModal(); }

function offline(text) { $("offline").textContent = text; $("offline").hidden = false; }
function online() { $("offline").hidden = true; }

// Ask for the models; go on with the one that was chosen, or with the first.
async function learn() {
  state.models = await fetchModels();
  choose(state.model?.name);
}

function choose(name) {
  state.model = state.models.find((model) => model.name === name) ?? state.models[0];
  showModel($, state.model);
  $("model-choice").hidden = state.models.length < 2;
  $("model").replaceChildren(...state.models.map((model) => new Option(
    `${model.name}: ${model.parameters.name} ${model.versions.join(" ")}`, model.name, false, model === state.model,
  )));
}

async function start() {
  try {
    await learn();
    online();
  } catch (fault) {
    if (fault instanceof AskError && fault.status === 401) login();
    else offline("The service does not respond. Reload the page once it is running.");
  }
}

// --- one image ---

const list = () => renderList($, (item) => {
  show(item);
  if (window.matchMedia("(max-width: 1000px)").matches) $("result").scrollIntoView();
});

function show(item) {
  state.shown = item;
  render();
  list();
  $("list").querySelector('[aria-current="true"]')?.scrollIntoView({ block: "nearest" });
}

function step(by) {
  const order = sorted();
  const next = order[order.indexOf(state.shown) + by];
  if (next) show(next);
}

function render() {
  $("empty").hidden = Boolean(state.shown);
  $("case").hidden = !state.shown;
  if (!state.shown) return;
  renderResult($);
  renderEach();
  renderOpinion();
  renderPictures(state.shown);
}

// The findings of a model of several.
function renderEach() {
  const { shown, model } = state;
  renderFindings($, {
    drawn: model?.parameters.draws_evidence && drawnOf(shown),
    chosen: (name) => shown.opinion?.findings?.[name],
    choose: (name, label) => {
      const { [name]: before, ...others } = shown.opinion?.findings ?? {};
      keep({ findings: before === label ? others : { ...others, [name]: label } });
      renderEach();
      list();
    },
    draw: model?.parameters.draws_evidence && ((name) => drawEvidence(shown, name)),
  });
}

// Show the evidence of a finding: that of the first one is there already.
function drawEvidence(item, name) {
  if (drawnOf(item) === name) return;
  item.of = name;
  item.record.evidence = "";
  delete item.pictures.marked;
  renderEach();
  renderPictures(item);
}

let turn = 0;

// Show the pictures of an image. Whoever comes later ends this: a second source cuts off the first.
async function renderPictures(item) {
  const mine = (turn += 1);
  const over = () => mine !== turn;
  viewer.wait(item);
  try {
    const plain = await (item.pictures.plain ??= plainOf(item));
    if (over()) return;
    await viewer.plain(plain, item.name);
  } catch (fault) {
    if (over()) return;
    delete item.pictures.plain;
    viewer.nothing(fault instanceof AskError ? "This file cannot be shown." : "The service does not respond.");
    return;
  }
  if (over() || item.state !== "done") return;
  const judged = item.record.probability !== null || Boolean(item.record.findings);
  if (!state.model?.parameters.draws_evidence || !judged) {
    viewer.noEvidence(!judged ? "Images that cannot be assessed have no evidence." : "This reader provides no evidence.");
    return;
  }
  try {
    const marked = await (item.pictures.marked ??= evidenceOf(item));
    if (!over()) await viewer.marked(marked);
  } catch {
    if (over()) return;
    delete item.pictures.marked;
    viewer.noEvidence("The evidence could not be loaded.");
  }
}

// --- opinions ---

function renderOpinion() {
  const { shown, model } = state;
  const { record } = shown;
  $("opinion").hidden = !record;
  if (!record) return;
  const classes = model?.parameters.classes ?? [];
  const concluded = classes.includes(record.conclusion) && !record.findings;
  const none = record.conclusion === NOT_ASSESSABLE || record.findings; // findings have buttons of their own
  const choices = concluded
    ? [["Agree", record.conclusion], ...disagreed(classes.filter((name) => name !== record.conclusion))]
    : none ? [] : classes.map((name) => [`It is ${name}`, name]);
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

// Of two classes, the other one needs no name.
function disagreed(others) {
  return others.length === 1 ? [["Disagree", others[0]]] : others.map((name) => [`It is ${name}`, name]);
}

function decide(label) {
  const taken = state.shown.opinion?.label === label;
  keep({ label: taken ? "" : label });
  renderOpinion();
  list();
}

function keep(change) {
  const { shown, model } = state;
  const { record, key, name } = shown;
  if (!record || !key) return;
  shown.opinion = opinions.keep(key, record, {
    name, classes: model.parameters.classes, positive: model.parameters.positive,
    group: model.parameters.pair?.[1], ...shown.opinion, ...change,
  });
}

function answer(number) {
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
  a: () => answer(0), d: () => answer(1), n: () => $("note").focus(), p: () => window.print(),
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
    reading.again();
    render();
    list();
  });
  $("note").addEventListener("input", () => keep({ note: $("note").value }));
  window.addEventListener("beforeprint", () => renderPrinted($));
  $("export").addEventListener("click", () => {
    const findings = Object.keys(state.model?.parameters.findings ?? {});
    const { labelled, notes } = opinions.counts(findings);
    if (labelled) save(opinions.csv(findings), "opinions.csv");
    $("saved").textContent = `${labelled ? `${count(labelled, "opinion")} saved` : "There is no opinion to save"}${notes ? `; ${count(notes, "note")} without an opinion ${notes === 1 ? "stays" : "stay"} in this browser` : ""}.`;
  });
  $("clear").addEventListener("click", () => {
    state.items.forEach(forgetPictures);
    state.items.length = 0;
    state.shown = null;
    render();
    list();
  });
  $("forget").addEventListener("click", () => { opinions.forget(); for (const item of state.items) item.opinion = null; list(); if (state.shown) render(); });
  $("help-open").addEventListener("click", () => $("help").showModal());
  $("about-open").addEventListener("click", () => $("about").showModal());
  $("theme").addEventListener("click", () => theme(press("theme")));
  $("model").addEventListener("change", () => {
    choose($("model").value);
    state.items.filter((item) => item.state !== "reading").forEach(wait);
    reading.pump();
    render();
    list();
  });
  $("login").addEventListener("close", () => {
    setToken($("token").value);
    start();
    reading.again();
    list();
  });
}

const here = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
$("where").textContent = here ? "Nothing leaves this machine, and images are not stored." : "Images are sent only to this service and are not stored.";
theme(window.matchMedia("(prefers-color-scheme: dark)").matches);
listen();
start();
