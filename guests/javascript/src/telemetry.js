import { host } from "./host.js";
import { listed } from "./values.js";

/** What became of one sample. */
class Outcome {
  constructor({ tag, val }) {
    this.kind = tag;
    this.reason = val ?? "";
    this.taken = tag === "accepted" || tag === "accepted-in-memory";
    Object.freeze(this);
  }

  toString() {
    return this.kind === "rejected" ? `rejected: ${this.reason}` : this.kind;
  }
}

export function send(samples) {
  return host()
    .telemetry.send(listed(samples))
    .map((outcome) => new Outcome(outcome));
}
