// The state of the page: models, images and their results. Renders nothing.

export const NOT_ASSESSABLE = "NOT_ASSESSABLE";
export const UNCERTAIN = "UNCERTAIN";
export const POSITIVE = "POSITIVE"; // of a model of several findings, as NEGATIVE is

export const state = {
  models: [], // descriptions from the service
  model: null, // the selected model
  items: [], // {file, name, state, record, reason, pictures, key, opinion}
  shown: null,
};

export function kind(item) {
  if (item.state === "failed") return "failed";
  if (item.state !== "done") return "waiting";
  if (item.record.conclusion === NOT_ASSESSABLE) return "refused";
  if (item.record.conclusion === UNCERTAIN) return "unsure";
  if (item.record.findings) return item.record.conclusion === POSITIVE ? "positive" : "negative";
  return item.record.probability >= item.record.threshold ? "positive" : "negative";
}

// By urgency: without a result, not assessable, uncertain; then by probability.
const ORDER = { failed: 0, refused: 1, unsure: 2, positive: 3, negative: 4, waiting: 5 };

export function sorted() {
  const chance = (item) => probabilityOf(item.record) ?? 0;
  return [...state.items].sort((a, b) => ORDER[kind(a)] - ORDER[kind(b)] || chance(b) - chance(a));
}

export function verdict(item) {
  if (item.state === "failed") return "NO RESULT";
  return item.state === "done" ? words(item.record) : item.state === "reading" ? "reading …" : "waiting";
}

// The probability of an image, or that of the first finding in its list.
export function probabilityOf(record) {
  return record?.findings ? findingsOf(record)[0]?.[1].probability : record?.probability;
}

// The findings of an image by urgency: [name, result].
export function findingsOf(record) {
  const order = { [POSITIVE]: 0, [UNCERTAIN]: 1 };
  const place = ({ conclusion }) => order[conclusion] ?? 2;
  return Object.entries(record?.findings ?? {}).sort(([, a], [, b]) => place(a) - place(b) || b.probability - a.probability);
}

// The finding whose evidence is drawn: the requested one, or the first in the list.
export function drawnOf({ record, of }) {
  const each = findingsOf(record);
  return each.some(([name]) => name === of) ? of : each[0]?.[0];
}

// With more than two classes, the conclusion includes the plausible classes; with several findings,
// the positive ones, or else the uncertain ones.
function words({ conclusion, conformal_set: possible, probabilities, findings }) {
  const text = conclusion.replaceAll("_", " ");
  if (findings) {
    const named = findingsOf({ findings }).filter(([, one]) => one.conclusion === conclusion).map(([name]) => name);
    return conclusion === POSITIVE || conclusion === UNCERTAIN ? `${text}: ${named.join(", ")}` : text;
  }
  const several = Object.keys(probabilities ?? {}).length > 2 && (possible ?? []).length > 1;
  if (!several || conclusion === NOT_ASSESSABLE) return text;
  return conclusion === UNCERTAIN ? `${text}: ${possible.join(" or ")}` : `${text}, kind uncertain`;
}

export function probabilityText(value) {
  if (value === null || value === undefined) return "";
  if (value > 0.9995) return ">0.999";
  return value < 0.0005 ? "<0.001" : value.toFixed(3);
}

// An image to be read, possibly again.
export function wait(item) {
  forgetPicture(item, "marked");
  Object.assign(item, { state: "waiting", record: null, reason: "", opinion: null, of: "" });
}

export function forgetPictures(item) {
  for (const name of Object.keys(item.pictures)) forgetPicture(item, name);
}

function forgetPicture(item, name) {
  Promise.resolve(item.pictures[name]).then((url) => url && URL.revokeObjectURL(url), () => {});
  delete item.pictures[name];
}
