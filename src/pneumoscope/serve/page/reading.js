// Images → records, a few at a time.

import { keyOf } from "./files.js";
import { ask, AskError } from "./service.js";
import { state } from "./state.js";

const AT_ONCE = 2;

export class Reading {
  // `changed` is called after each step, `faults` with messages about the service.
  constructor({ opinions, changed, faults, replaced }) {
    Object.assign(this, { opinions, changed, faults, replaced });
    this.active = 0;
  }

  pump() {
    while (this.active < AT_ONCE) {
      const next = state.items.find((item) => item.state === "waiting");
      if (!next) break;
      this.active += 1;
      next.state = "reading";
      this.read(next).finally(() => {
        this.active -= 1;
        this.pump();
        this.changed(next);
      });
    }
  }

  async read(item) {
    const model = state.model;
    try {
      const evidence = item === state.shown && Boolean(model?.parameters.draws_evidence);
      const record = await predicted(item, evidence);
      const key = await keyOf(item.file);
      if (model && state.model.name !== model.name) { // another model was chosen meanwhile
        item.state = "waiting";
        return;
      }
      Object.assign(item, { record, key, state: "done" });
      if (record.model.sha256 !== state.model?.parameters.sha256) await this.replaced();
      item.opinion = this.opinions.of(key, record.model.sha256);
      this.faults.none();
    } catch (fault) {
      this.failed(item, fault);
    }
  }

  failed(item, fault) {
    item.state = "failed";
    item.reason = fault.message;
    item.again = !(fault instanceof AskError) || fault.status >= 500 || [401, 429].includes(fault.status);
    if (!(fault instanceof AskError)) {
      item.reason = "The service did not respond.";
      this.faults.offline("The service does not respond. Images that were not read are kept; choose “Read again” once it is back.");
    } else if (fault.status === 401) {
      this.faults.login();
    }
  }

  again() {
    for (const item of state.items) if (item.state === "failed" && item.again) item.state = "waiting";
    this.pump();
  }
}

// The record of an image by the selected model.
async function predicted(item, evidence) {
  const query = new URLSearchParams();
  if (state.models.length > 1) query.set("model", state.model.name);
  if (evidence) query.set("evidence", "1");
  if (evidence && item.of) query.set("evidence_of", item.of);
  const words = query.toString();
  return await (await ask(`/v1/predictions${words && "?"}${words}`, item.file)).json();
}

// The address of the image as a grey picture.
export const plainOf = async (item) => urlOf(await ask("/v1/pictures", item.file));

// The address of the image with its evidence.
export async function evidenceOf(item) {
  try {
    if (item.record.evidence) return await urlOf(await ask(item.record.evidence));
  } catch (fault) {
    if (!(fault instanceof AskError)) throw fault; // an older link has expired
  }
  const before = item.record;
  const record = await predicted(item, true);
  if (item.record === before) item.record = record; // else it is being read anew
  return await urlOf(await ask(record.evidence));
}

const urlOf = async (answer) => URL.createObjectURL(await answer.blob());
