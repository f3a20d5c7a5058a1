// What the methods of a plugin take and return.
import { U32_MAX, exact, host, told, whole } from "./host.js";

const PIECE_BYTES = 64 * 1024;

/** A command from the cloud. */
export class Command {
  constructor(text, { id = "", device = null } = {}) {
    this.id = id;
    this.text = text;
    this.device = device;
  }

  get name() {
    return this.text.trim().split(/\s/, 1)[0];
  }

  get arguments() {
    return this.text.trim().slice(this.name.length).trim();
  }
}

/** What the cloud is told about a command or an update. */
export class Reply {
  constructor(kind, message = "") {
    this.kind = kind;
    this.message = message;
    Object.freeze(this);
  }

  static done(message = "") {
    return new Reply("done", message);
  }

  static failed(message) {
    return new Reply("failed", message);
  }

  toWire() {
    return this.kind === "deferred"
      ? { tag: "deferred" }
      : { tag: this.kind, val: String(this.message).toWellFormed() };
  }
}

export const DEFERRED = new Reply("deferred");

/** Thrown to tell the host an error whose text says all; the stack of any other exception goes to the log. */
export class Failure extends Error {
  name = "Failure";
}

/** Thrown to tell the cloud that something was not carried out; the plugin is well. */
export class CommandFailed extends Error {
  name = "CommandFailed";
}

/** A change of the desired properties of the twin. */
export class DesiredChange {
  constructor(json, { version = 1, complete = true } = {}) {
    this.version = exact("the version of the twin", version);
    this.complete = complete;
    this.json = json;
  }

  get values() {
    return JSON.parse(this.json);
  }
}

/** A file that was downloaded and verified for this plugin to install. */
export class Firmware {
  constructor({ id, device = null, name, version = "", size, sha256 }) {
    Object.assign(this, { id, device, name, version, size: exact("the size of the firmware", size), sha256 });
  }

  read(offset, length) {
    whole("the offset", offset);
    whole("the length", length, U32_MAX);
    return told(
      () => host().firmwareFile.read(this.id, offset, length),
      (reason) => new Error(reason),
    );
  }

  *pieces(length = PIECE_BYTES) {
    for (let at = 0; ;) {
      const piece = this.read(at, length);
      if (piece.length === 0) return;
      yield piece;
      at += piece.length;
    }
  }
}
