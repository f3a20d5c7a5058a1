import { host } from "./host.js";

export function get(key, otherwise = null) {
  return host().config.get(key.toWellFormed()) ?? otherwise;
}

export function number(key, otherwise) {
  const text = get(key);
  if (text === null) return otherwise;
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value))
    throw new RangeError(`[config] \`${key}\` is ${JSON.stringify(text)}, no number`);
  return value;
}

export function all() {
  return new Map(host().config.all());
}
