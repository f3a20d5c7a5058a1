/**
 * Write plugins for the Edgeplug daemon in JavaScript.
 *
 * A plugin is a class, the default export of its module; the methods it has (see `Plugin`) are the interfaces that the
 * component exports. `node sdk/build.js plugin.js -o NAME.wasm` makes the component.
 *
 *     import { Sample, files } from "./sdk/edgeplug.js";
 *
 *     export default class Load {
 *       sample() {
 *         return new Sample({ load: parseFloat(files.readText("/proc/loadavg")) });
 *       }
 *     }
 *
 * A module's own code runs when the component is made, and what it leaves behind is what every instance begins with. So
 * the host can be called only from methods, and no method is async.
 */

/**
 * What a plugin may have. There is one object for one instance of the component, made and started before anything else;
 * one method is called at a time. An exception is told to the host as an error with its text, and its stack goes to the
 * log (but for `Failure`); the plugin goes on.
 */
export interface Plugin {
  /** Called once, before anything else. An exception keeps the plugin from running; it is tried again later. */
  start?(): void;
  /** Called once before the instance goes; there is a deadline. */
  stop?(): void;
  /** Called when the file has changed: what the new version shall know, at most 1 MiB; nothing is nothing. */
  saveState?(): Uint8Array | void;
  /** Called on the new version after its `start`. An exception keeps the old version running. */
  restoreState?(saved: Uint8Array): void;
  /** Called once per interval (`interval_s` in the manifest): one sample, several, or none. */
  sample?(): Readings;
  /** Called for every command from the cloud (DeviceCallback of the old SDK). A string is `Reply.done` with it. */
  handle?(command: Command): Reply | string | void;
  /** Called after every change of the twin's desired properties, and with all of them after each connect. */
  desiredChanged?(change: DesiredChange): void;
  /** Called at every change of the connection to the cloud, and once after `start`. */
  connectionChanged?(connected: boolean, reason: string): void;
  /** Called for every verified firmware file. */
  update?(firmware: Firmware): Reply | string | void;
  /** Called with other plugins' samples on their way to the store: what shall be stored in their place. */
  transform?(samples: Sample[]): Readings;
}

export type Readings = Sample | Iterable<Sample> | null | void;

/**
 * A member of an object. A whole number within 53 bits is sent as an integer, any other number with decimals;
 * `number(21)` sends 21 with decimals. A whole number beyond 53 bits (but for those past 2^63, which nobody means as an
 * integer) is a RangeError that names the attribute: JavaScript cannot tell it from its neighbours. A bigint is sent as
 * an integer when it fits 53 bits, and is a RangeError when not.
 */
export type Scalar = boolean | number | bigint | string | NumberValue;
export type Value = Scalar | LatLong | RoundedInteger | { readonly [member: string]: Scalar };

/** A number that is sent as one with decimals also when it is whole. */
export function number(value: number | bigint): NumberValue;
export interface NumberValue {
  readonly value: number;
}

/**
 * An integer beyond 53 bits in a sample that `transform` was given: `value` is rounded. Sending it back is an error for
 * the whole list; take it out, or put something else in its place.
 */
export class RoundedInteger {
  readonly value: number;
}

/** A place in WGS 84 degrees. */
export class LatLong {
  constructor(latitude: number, longitude: number);
  readonly latitude: number;
  readonly longitude: number;
}

/** A moment to the nanosecond: seconds since 1970 UTC, and 0 to 999,999,999 nanoseconds added to them. */
export class Moment {
  constructor(seconds: number, nanoseconds?: number);
  static of(date: Date): Moment;
  readonly seconds: number;
  readonly nanoseconds: number;
  /** Cut to milliseconds. */
  toDate(): Date;
}

/** One reading of one device: some of its attributes at one moment. */
export class Sample {
  /**
   * `device` is the unique id of a child device, null is the device itself. Without `time` the host takes the moment of
   * arrival.
   */
  constructor(values?: Record<string, Value>, of?: { device?: string | null; time?: Date | Moment | null });
  values: Record<string, Value>;
  device: string | null;
  time: Date | Moment | null;
}

/** A command from the cloud. */
export class Command {
  constructor(text: string, of?: { id?: string; device?: string | null });
  /** Names it for `acks.finish`; the same when it is handled again after a crash of the daemon. */
  readonly id: string;
  /** The whole text as it was sent, for instance `set-led-green off`. */
  readonly text: string;
  /** The unique id of the child device it is meant for, null for the device itself. */
  readonly device: string | null;
  /** The first word. */
  readonly name: string;
  /** Everything after the first word, trimmed. */
  readonly arguments: string;
}

/** What the cloud is told about a command or an update (SendAck of the old SDK). */
export class Reply {
  /** Carried out, with a message for whoever asked, at most 1000 characters. */
  static done(message?: string): Reply;
  /** Not carried out, and why. */
  static failed(message: string): Reply;
  readonly kind: "done" | "failed" | "deferred";
  readonly message: string;
}

/** It takes longer than this call: `acks.finish` tells the end, within an hour. */
export const DEFERRED: Reply;

/** Thrown to tell the cloud that something was not carried out; the plugin is well. Same as `Reply.failed`. */
export class CommandFailed extends Error {}

/** Thrown to tell the host an error whose text says all; the stack of any other exception goes to the log. */
export class Failure extends Error {}

/** A change of the desired properties of the twin. */
export class DesiredChange {
  constructor(json: string, of?: { version?: number; complete?: boolean });
  readonly version: number;
  /** Whether `json` is all of it; otherwise only what changed, a member that was removed as null. */
  readonly complete: boolean;
  /** The text of a JSON object. */
  readonly json: string;
  /** The same as values. */
  readonly values: Record<string, any>;
}

/** A file that was downloaded and verified for this plugin to install. */
export class Firmware {
  constructor(request: {
    id: string;
    device?: string | null;
    name: string;
    version?: string;
    size: number;
    sha256: string;
  });
  /** Names it for `acks.finish` and `acks.progress`. */
  readonly id: string;
  /** The unique id of the child device it is meant for, null for the device itself. */
  readonly device: string | null;
  readonly name: string;
  readonly version: string;
  readonly size: number;
  readonly sha256: string;
  /** `length` bytes (at most 1 MiB) from `offset` on, fewer at the end, none behind it. */
  read(offset: number, length: number): Uint8Array;
  /** The whole content in pieces of 64 KiB, or of `length` bytes. */
  pieces(length?: number): Generator<Uint8Array>;
}

/** Ends this instance as a crash, saying why; the host starts another. For what must not go on; else throw. */
export function abort(message: string): never;

/** Text from bytes in UTF-8; what is none becomes replacement characters. */
export function decode(bytes: Uint8Array): string;
/** Bytes in UTF-8 from text. */
export function encode(text: string): Uint8Array;

/** The plugin's voice in the daemon's log. `console.log` and the others arrive there too, as what was printed. */
export declare namespace log {
  function trace(message: string): void;
  function debug(message: string): void;
  function info(message: string): void;
  function warn(message: string): void;
  function error(message: string): void;
}

/** The plugin's settings: the `[config]` table of its manifest. All values are text. */
export declare namespace config {
  /** The value of one key, `otherwise` (or null) when the manifest does not have it. */
  function get(key: string): string | null;
  function get(key: string, otherwise: string): string;
  /** The value of one key as a number; one that is none is a RangeError that names the key. */
  function number(key: string, otherwise: number): number;
  /** Every key with its value, ordered by key. */
  function all(): Map<string, string>;
}

/** Readings that the plugin sends of its own accord, beside what `sample` returns (SendData of the old SDK). */
export declare namespace telemetry {
  interface Outcome {
    readonly kind: "accepted" | "accepted-in-memory" | "held-back" | "rejected";
    /** Why it was rejected. */
    readonly reason: string;
    /** Whether the host took it. */
    readonly taken: boolean;
    /** The kind, and the reason of a rejection. */
    toString(): string;
  }
  /** Sends up to 1000 samples (240 KB) and waits until they are stored; one outcome for each, in their order. */
  function send(samples: Sample | Iterable<Sample>): Outcome[];
}

export type Kind =
  "boolean" | "bit" | "integer" | "long" | "number" | "text" | "date" | "time" | "date-time" | "lat-long" | "object";
export interface Member {
  name: string;
  kind: Kind;
  validity: string;
}
export interface Attribute {
  name: string;
  kind: Kind;
  validity: string;
  tag: string;
  members: Member[];
}
export interface Setting {
  name: string;
  kind: Kind;
  validity: string;
}
export interface Child {
  uniqueId: string;
  tag: string;
}
/** What the cloud last said about this device. */
export interface DeviceModel {
  attributes: Attribute[];
  children: Child[];
  settings: Setting[];
  /** The cloud wants readings no more often than this; 0 is as often as they come. */
  frequencyS: number;
  /** Whether the daemon sends windows of readings in their place. */
  edge: boolean;
}

/** The device this plugin runs on, and what the cloud says it looks like (GetAttributes of the old SDK). */
export declare namespace device {
  /** Under which the cloud knows the device. */
  function uniqueId(): string;
  /** Null before the device has ever reached the cloud. */
  function template(): DeviceModel | null;
  /** Whether the daemon is connected at this moment. No need to ask before sending. */
  function connected(): boolean;
  /** Ends the connection until `reconnect` (Dispose of the old SDK); throws `Denied` without the right `disconnect`. */
  function disconnect(): void;
  /** Lets the daemon connect again; throws `Denied` without the right `disconnect`. */
  function reconnect(): void;
  class Denied extends Error {}
}

/** The device twin: JSON objects that the cloud keeps. */
export declare namespace twin {
  /** Nothing was changed as far as is known. */
  class TwinError extends Error {
    /** No connection or no answer; not a JSON object or too large; not taken by the hub, with its `status`. */
    readonly kind: "unavailable" | "invalid" | "refused";
    readonly status: number | null;
  }
  interface Document {
    /** What the cloud wants, the text of a JSON object. */
    readonly desired: string;
    readonly desiredVersion: number;
    /** What the device last reported, the text of a JSON object. */
    readonly reported: string;
    readonly reportedVersion: number;
    readonly desiredValues: Record<string, any>;
    readonly reportedValues: Record<string, any>;
  }
  /** Asks the hub, and waits for its answer. */
  function get(): Document;
  /** Merges members into what is reported (null removes one) and waits for the new version (UpdateTwin of old). */
  function report(patch: object | string): number;
}

/** Ends what was answered with `DEFERRED`. */
export declare namespace acks {
  class AckError extends Error {
    /** Nothing under way has this id; it is another plugin's; the end could not be written down, so try again. */
    readonly kind: "unknown" | "not-yours" | "unavailable";
  }
  /** Tells the end. When it returns, the end is on disk. */
  function finish(id: string, reply?: Reply | string): void;
  /** How far it is, 0 to 100 percent, with a few words. */
  function progress(id: string, percent: number, message?: string): void;
}

/** A little memory that outlives the instance, the daemon and a power cut: at most 64 keys and 64 KiB in all. */
export declare namespace state {
  /** What was there is still there. */
  export class StateError extends Error {
    readonly kind: "quota" | "unavailable";
  }
  /** Null when there is no such key. */
  export function get(key: string): Uint8Array | null;
  /** The same as text in UTF-8. */
  export function getText(key: string): string | null;
  /** When it returns, the value is on disk. A string is kept in UTF-8. */
  export function set(key: string, value: Uint8Array | string): void;
  /** A key that is not there is no error. */
  function remove(key: string): void;
  export { remove as delete };
  /** Ordered. */
  export function keys(): string[];
}

/** Files of the machine, read-only: those that the manifest asks for (`files = […]`) and the operator allows. */
export declare namespace files {
  class FileError extends Error {
    /** `denied` names the right that is missing; `too-large` has the `limit` in bytes. */
    readonly kind: "denied" | "not-found" | "too-large" | "other";
    readonly limit: number | null;
  }
  /** The whole content, at most 1 MiB. */
  function read(path: string): Uint8Array;
  /** The same as text; what is no UTF-8 becomes replacement characters. */
  function readText(path: string): string;
  /** `length` bytes (at most 1 MiB) from `offset` on, fewer at the end, none behind it. For files that grow. */
  function readAt(path: string, offset: number, length: number): Uint8Array;
  /** The granted paths that exist and fit; `*` is any run of characters and `?` one, neither of them `/`. */
  function find(pattern: string): string[];
}

/** Buses, lines and ports, by the names the operator gave them. This version of the daemon refuses them all. */
export declare namespace hardware {
  class HardwareError extends Error {
    readonly kind: "denied" | "no-device" | "timed-out" | "too-much" | "other";
  }
  /** One transaction: a number reads so many bytes, bytes are written; one answer for each read. */
  function i2c(bus: string, address: number, operations: (number | Uint8Array)[]): Uint8Array[];
  type SpiOperation = { read: number } | { write: Uint8Array } | { transfer: Uint8Array } | { delayNs: number };
  /** One transaction; one answer for each read and transfer. */
  function spi(device: string, operations: SpiOperation[]): Uint8Array[];
  namespace gpio {
    function read(line: string): boolean;
    function write(line: string, active: boolean): void;
    /** Waits for an edge, 60,000 ms at most: true when there was one since the last call. */
    function wait(line: string, edge: "rising" | "falling" | "either", timeoutMs: number): boolean;
  }
  namespace serial {
    function read(port: string, length: number, timeoutMs: number): Uint8Array;
    function write(port: string, data: Uint8Array): void;
  }
}
