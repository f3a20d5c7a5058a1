import { U32_MAX, host, told, whole } from "./host.js";
import { decode } from "./utf8.js";

/** A file could not be read; `kind` says why. */
export class FileError extends Error {
  name = "FileError";

  constructor(path, { tag, val }) {
    super(
      {
        denied: val,
        "not-found": `${path} does not exist`,
        "too-large": `${path} is larger than ${val} bytes; read it in parts with readAt`,
      }[tag] ?? `${path}: ${val}`,
    );
    this.kind = tag;
    this.limit = tag === "too-large" ? val : null;
  }
}

const asked = (path, call) =>
  told(
    () => call(path.toWellFormed()),
    (error) => new FileError(path, error),
  );

export function read(path) {
  return asked(path, (path) => host().files.read(path));
}

export function readText(path) {
  return decode(read(path));
}

export function readAt(path, offset, length) {
  whole("the offset", offset);
  whole("the length", length, U32_MAX);
  return asked(path, (path) => host().files.readAt(path, offset, length));
}

export function find(pattern) {
  return asked(pattern, (pattern) => host().files.find(pattern));
}
