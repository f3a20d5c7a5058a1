// The interfaces of the host. In a component the generated main module provides them, in a test `testing.js` does; so
// the SDK itself imports nothing that only exists in a component.

let interfaces;

/** Sets the interfaces, by their names in camel case. */
export function provide(provided) {
  interfaces = provided;
}

/** The interfaces, for instance `host().log.log("info", "hello")`. */
export function host() {
  if (interfaces === undefined) {
    throw new Error("there is no host yet: call it from a method of the plugin, or from a test after testing.play()");
  }
  return interfaces;
}

/** Whether there is a host already. */
export function isThere() {
  return interfaces !== undefined;
}

/** Calls the host; an error of its interface is thrown as what `toError` makes of it. */
export function told(call, toError) {
  try {
    return call();
  } catch (thrown) {
    // An error of an interface carries its payload; anything else is a fault of this SDK or of the plugin.
    if (thrown instanceof Error && "payload" in thrown) throw toError(thrown.payload);
    throw thrown;
  }
}

/** Ends this instance as a crash, saying why; the host starts another. */
export function abort(message) {
  // A level that does not exist is what the runtime traps on, with the level's name in the log.
  host().log.log(String(message).toWellFormed(), "");
  throw new Error(message);
}

export const U16_MAX = 2 ** 16 - 1;
export const U32_MAX = 2 ** 32 - 1;

/** A whole number as the interface takes it, 0 to `most`: what it does not take would end the instance, or be cut. */
export function whole(what, value, most = Number.MAX_SAFE_INTEGER) {
  if (!Number.isSafeInteger(value) || value < 0 || value > most) {
    const given = typeof value === "string" ? JSON.stringify(value) : String(value);
    throw new RangeError(`${what} is ${given}; it wants a whole number from 0 to ${most}`);
  }
  return value;
}

/** A number of the interface that has 64 bits; numbers beyond 53 bits have arrived rounded. */
export function exact(what, value) {
  if (!Number.isSafeInteger(value)) throw new RangeError(`${what} is beyond 53 bits`);
  return value;
}
