import { host, told } from "./host.js";
import { Reply } from "./requests.js";

const WORDS = {
  unknown: "nothing under way has this id",
  "not-yours": "it belongs to another plugin",
};

/** The end was not taken; `kind` says why. */
export class AckError extends Error {
  name = "AckError";

  constructor({ tag, val }) {
    super(val ?? WORDS[tag]);
    this.kind = tag;
  }
}

export function finish(id, reply) {
  const ending = reply instanceof Reply ? reply : Reply.done(reply ?? "");
  if (ending.kind === "deferred") throw new TypeError("an end is done or failed");
  told(
    () => host().acks.finish(id.toWellFormed(), ending.toWire()),
    (error) => new AckError(error),
  );
}

export function progress(id, percent, message = "") {
  const whole = Math.round(Number(percent));
  if (!(whole >= 0 && whole <= 100)) throw new RangeError(`progress is ${percent}; it wants 0 to 100`);
  host().acks.progress(id.toWellFormed(), whole, String(message).toWellFormed());
}
