// What the page knows: the models, the images and what was said of them. Renders nothing.

export const NOT_ASSESSABLE = "NOT_ASSESSABLE";
export const UNCERTAIN = "UNCERTAIN";

export const state = {
  models: [], // what the service tells of each
  model: null, // the one that is asked
  items: [], // {file, name, state, record, reason, pictures, key, opinion}
  shown: null,
};

export function kind(item) {
  if (item.state === "failed") return "failed";
  if (item.state !== "done") return "waiting";
  if (item.record.conclusion === NOT_ASSESSABLE) return "refused";
  if (item.record.conclusion === UNCERTAIN) return "unsure";
  return item.record.probability >= item.record.threshold ? "positive" : "negative";
}

// Those that need a person first: no result, not judged, undecided; then by probability.
const ORDER = { failed: 0, refused: 1, unsure: 2, positive: 3, negative: 4, waiting: 5 };

export function sorted() {
  const chance = (item) => item.record?.probability ?? 0;
  return [...state.items].sort((a, b) => ORDER[kind(a)] - ORDER[kind(b)] || chance(b) - chance(a));
}

export function verdict(item) {
  if (item.state === "failed") return "NO RESULT";
  return item.state === "done" ? words(item.record) : item.state === "reading" ? "reading …" : "waiting";
}

// Of more than two classes, what remains possible is part of the conclusion.
function words({ conclusion, conformal_set: possible, probabilities }) {
  const text = conclusion.replaceAll("_", " ");
  const several = Object.keys(probabilities ?? {}).length > 2 && (possible ?? []).length > 1;
  if (!several || conclusion === NOT_ASSESSABLE) return text;
  return conclusion === UNCERTAIN ? `${text}: ${possible.join(" or ")}` : `${text}, kind uncertain`;
}

export function probabilityText(value) {
  if (value === null || value === undefined) return "";
  if (value > 0.9995) return ">0.999";
  return value < 0.0005 ? "<0.001" : value.toFixed(3);
}

// An image to be read, or to be read again.
export function wait(item) {
  forgetPicture(item, "marked");
  Object.assign(item, { state: "waiting", record: null, reason: "", opinion: null });
}

export function forgetPictures(item) {
  for (const name of Object.keys(item.pictures)) forgetPicture(item, name);
}

function forgetPicture(item, name) {
  Promise.resolve(item.pictures[name]).then((url) => url && URL.revokeObjectURL(url), () => {});
  delete item.pictures[name];
}
