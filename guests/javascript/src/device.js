import { host, told } from "./host.js";

/** The right `disconnect` is missing. */
export class Denied extends Error {
  name = "Denied";
}

export function uniqueId() {
  return host().device.info().uniqueId;
}

export function template() {
  return host().device.template();
}

export function connected() {
  return host().device.connected();
}

export function disconnect() {
  told(
    () => host().device.disconnect(),
    (reason) => new Denied(reason),
  );
}

export function reconnect() {
  told(
    () => host().device.reconnect(),
    (reason) => new Denied(reason),
  );
}
