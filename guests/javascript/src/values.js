// Samples and what they hold, from and to the typed values of the interface.
import { Failure } from "./requests.js";

const INTEGER_PAST = 2 ** 63;
const MS_PER_S = 1000;
const NS_PER_MS = 1_000_000;
const NS_PER_S = 1_000_000_000;

/** A place in WGS 84 degrees. */
export class LatLong {
  constructor(latitude, longitude) {
    this.latitude = latitude;
    this.longitude = longitude;
    Object.freeze(this);
  }
}

/** A moment to the nanosecond. */
export class Moment {
  constructor(seconds, nanoseconds = 0) {
    if (
      !Number.isSafeInteger(seconds) ||
      !Number.isInteger(nanoseconds) ||
      nanoseconds < 0 ||
      nanoseconds >= NS_PER_S
    ) {
      throw new RangeError(
        `a moment is whole seconds and 0 to 999999999 nanoseconds, not ${seconds} and ${nanoseconds}`,
      );
    }
    this.seconds = seconds;
    this.nanoseconds = nanoseconds;
    Object.freeze(this);
  }

  static of(date) {
    const milliseconds = date.getTime();
    if (Number.isNaN(milliseconds)) throw new RangeError("the time of a sample is no valid date");
    const seconds = Math.floor(milliseconds / MS_PER_S);
    return new Moment(seconds, (milliseconds - seconds * MS_PER_S) * NS_PER_MS);
  }

  toDate() {
    return new Date(this.seconds * MS_PER_S + Math.floor(this.nanoseconds / NS_PER_MS));
  }
}

class Float {
  constructor(value) {
    this.value = value;
  }
}

/** An integer beyond 53 bits, as it came from the host: rounded, and for that reason not to be sent. */
export class RoundedInteger {
  constructor(value) {
    this.value = value;
    Object.freeze(this);
  }
}

/** A number that is sent as one with decimals also when it is whole. */
export function number(value) {
  return new Float(Number(value));
}

/** One reading of one device. */
export class Sample {
  // What came from the host, to go back unchanged: a whole number does not say whether it had decimals.
  #came = new Map();

  constructor(values = {}, { device = null, time = null } = {}) {
    this.values = { ...values };
    this.device = device;
    this.time = time;
  }

  static fromWire(wire) {
    const { device, time } = wire;
    const sample = new Sample({}, { device, time: time && new Moment(time.seconds, time.nanoseconds) });
    for (const [name, held] of wire.values) {
      const value = plain(held);
      // Defined, not assigned: `__proto__` is an attribute's name like any other.
      Object.defineProperty(sample.values, name, { value, writable: true, enumerable: true, configurable: true });
      if (isExact(held)) sample.#came.set(name, { value, held });
    }
    return sample;
  }

  toWire() {
    const { device, time } = this;
    const values = Object.entries(this.values).map(([name, value]) => {
      const came = this.#came.get(name);
      return [name.toWellFormed(), came !== undefined && Object.is(came.value, value) ? came.held : wired(name, value)];
    });
    return {
      device: device == null ? null : String(device).toWellFormed(),
      time: moment(time),
      values,
    };
  }
}

/** What `sample` and `transform` may return, as a list of the interface's samples. */
export function listed(samples) {
  if (samples == null) return [];
  const all = samples instanceof Sample ? [samples] : [...samples];
  return all.map((sample) => {
    if (!(sample instanceof Sample))
      throw new TypeError(`a reading must be a Sample; this one is ${described(sample)}`);
    return sample.toWire();
  });
}

function moment(time) {
  if (time === null || time === undefined) return null;
  if (!(time instanceof Date || time instanceof Moment)) {
    throw new TypeError(`the time of a sample must be a Date, a Moment or null; it is ${described(time)}`);
  }
  const { seconds, nanoseconds } = time instanceof Date ? Moment.of(time) : time;
  return { seconds, nanoseconds };
}

function wired(name, value) {
  if (value instanceof LatLong) {
    return { tag: "lat-long", val: { latitude: Number(value.latitude), longitude: Number(value.longitude) } };
  }
  if (isPlainObject(value)) {
    return {
      tag: "object",
      val: Object.entries(value).map(([member, held]) => [member.toWellFormed(), scalar(`${name}.${member}`, held)]),
    };
  }
  return scalar(name, value, "LatLong or an object of the first four");
}

function scalar(name, value, orElse) {
  switch (typeof value) {
    case "boolean":
      return { tag: "boolean", val: value };
    case "string":
      return { tag: "text", val: value.toWellFormed() };
    case "bigint":
      if (BigInt(Number.MIN_SAFE_INTEGER) <= value && value <= BigInt(Number.MAX_SAFE_INTEGER)) {
        return { tag: "integer", val: Number(value) };
      }
      throw new RangeError(`${name} is ${value}, an integer beyond 53 bits; send it as text, or as number(…)`);
    case "number":
      if (Number.isSafeInteger(value) && !Object.is(value, -0)) return { tag: "integer", val: value };
      if (Number.isInteger(value) && value !== 0 && Math.abs(value) <= INTEGER_PAST) {
        throw new RangeError(`${name} is ${value}, an integer beyond 53 bits; send it as text, or as number(…)`);
      }
      return { tag: "number", val: value };
    default:
      if (value instanceof RoundedInteger) throw new Failure(`${name} is an integer beyond 53 bits`);
      if (value instanceof Float) return { tag: "number", val: value.value };
      throw new TypeError(
        `${name} is ${described(value)}; it wants boolean, number, bigint, string${orElse ? `, ${orElse}` : ""}`,
      );
  }
}

function plain(held) {
  switch (held.tag) {
    case "integer":
      return isExact(held) ? held.val : new RoundedInteger(held.val);
    case "lat-long":
      return new LatLong(held.val.latitude, held.val.longitude);
    case "object":
      // Frozen, so that what is unchanged is known by its identity.
      return Object.freeze(Object.fromEntries(held.val.map(([member, inner]) => [member, plain(inner)])));
    default:
      return held.val;
  }
}

function isExact({ tag, val }) {
  if (tag === "object") return val.every(([, inner]) => isExact(inner));
  return tag !== "integer" || Number.isSafeInteger(val);
}

function isPlainObject(value) {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

function described(value) {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return "an array";
  return `of type ${typeof value === "object" ? (value.constructor?.name ?? "object") : typeof value}`;
}
