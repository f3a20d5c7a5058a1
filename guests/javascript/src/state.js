import { host, told } from "./host.js";
import { decode, encode } from "./utf8.js";

/** What was there is still there; `kind` is `quota` or `unavailable`. */
export class StateError extends Error {
  name = "StateError";

  constructor({ tag, val }) {
    super(val);
    this.kind = tag;
  }
}

const asked = (call) => told(call, (error) => new StateError(error));

export function get(key) {
  return asked(() => host().state.get(key.toWellFormed()));
}

export function getText(key) {
  const value = get(key);
  return value === null ? null : decode(value);
}

export function set(key, value) {
  const bytes = typeof value === "string" ? encode(value) : value;
  if (!(bytes instanceof Uint8Array))
    throw new TypeError(`state ${JSON.stringify(key)} wants a string or a Uint8Array`);
  asked(() => host().state.set(key.toWellFormed(), bytes));
}

// `delete` cannot be the name of a function.
function remove(key) {
  asked(() => host().state.delete(key.toWellFormed()));
}

export { remove as delete };

export function keys() {
  return asked(() => host().state.keys());
}
