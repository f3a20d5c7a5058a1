import { U16_MAX, U32_MAX, host, told, whole } from "./host.js";

const EDGES = ["rising", "falling", "either"];
const WORDS = { "no-device": "nobody answered at this address", "timed-out": "the time is over" };

/** A bus, line or port failed; `kind` says how. */
export class HardwareError extends Error {
  name = "HardwareError";

  constructor({ tag, val }) {
    super(val ?? WORDS[tag]);
    this.kind = tag;
  }
}

const asked = (call) => told(call, (error) => new HardwareError(error));

export function i2c(bus, address, operations) {
  whole("the address", address, U16_MAX);
  const steps = operations.map((step) =>
    typeof step === "number"
      ? { tag: "read", val: whole("what is read", step, U16_MAX) }
      : { tag: "write", val: data(step) },
  );
  return asked(() => host().i2c.transaction(bus.toWellFormed(), address, steps));
}

export function spi(device, operations) {
  return asked(() => host().spi.transaction(device.toWellFormed(), operations.map(spiStep)));
}

export const gpio = {
  read: (line) => asked(() => host().gpio.read(line.toWellFormed())),
  write: (line, active) => asked(() => host().gpio.write(line.toWellFormed(), Boolean(active))),
  wait: (line, edge, timeoutMs) => {
    if (!EDGES.includes(edge)) throw new TypeError(`an edge is ${EDGES.join(", ")}, not ${edge}`);
    whole("the timeout", timeoutMs, U32_MAX);
    return asked(() => host().gpio.wait(line.toWellFormed(), edge, timeoutMs));
  },
};

export const serial = {
  read: (port, length, timeoutMs) => {
    whole("the length", length, U32_MAX);
    whole("the timeout", timeoutMs, U32_MAX);
    return asked(() => host().serial.read(port.toWellFormed(), length, timeoutMs));
  },
  write: (port, written) => asked(() => host().serial.write(port.toWellFormed(), data(written))),
};

function spiStep(step) {
  const [[tag, val]] = Object.entries(step);
  switch (tag) {
    case "read":
      return { tag, val: whole("what is read", val, U16_MAX) };
    case "write":
    case "transfer":
      return { tag, val: data(val) };
    case "delayNs":
      return { tag: "delay-ns", val: whole("the delay", val, U32_MAX) };
    default:
      throw new TypeError(`an SPI operation is read, write, transfer or delayNs, not ${tag}`);
  }
}

function data(bytes) {
  if (!(bytes instanceof Uint8Array)) throw new TypeError("what is written must be a Uint8Array");
  return bytes;
}
