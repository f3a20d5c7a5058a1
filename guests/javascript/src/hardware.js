import { host, told } from "./host.js";

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
  const steps = operations.map((step) =>
    typeof step === "number" ? { tag: "read", val: step } : { tag: "write", val: step },
  );
  return asked(() => host().i2c.transaction(bus, address, steps));
}

export function spi(device, operations) {
  return asked(() => host().spi.transaction(device, operations.map(spiStep)));
}

export const gpio = {
  read: (line) => asked(() => host().gpio.read(line)),
  write: (line, active) => asked(() => host().gpio.write(line, active)),
  wait: (line, edge, timeoutMs) => asked(() => host().gpio.wait(line, edge, timeoutMs)),
};

export const serial = {
  read: (port, length, timeoutMs) => asked(() => host().serial.read(port, length, timeoutMs)),
  write: (port, data) => asked(() => host().serial.write(port, data)),
};

function spiStep(step) {
  const [[tag, val]] = Object.entries(step);
  const known = { read: "read", write: "write", transfer: "transfer", delayNs: "delay-ns" }[tag];
  if (known === undefined) throw new TypeError(`an SPI operation is read, write, transfer or delayNs, not ${tag}`);
  return { tag: known, val };
}
