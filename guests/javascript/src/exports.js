// From a plugin class to the interfaces that the component exports.
import { Command, CommandFailed, DesiredChange, Failure, Firmware, Reply } from "./requests.js";
import { Sample, listed } from "./values.js";

/** Interfaces in the names of the WIT, and the methods of which any one makes a class export them. */
export const METHODS = {
  sensor: ["sample"],
  commands: ["handle"],
  "twin-events": ["desiredChanged"],
  "connection-events": ["connectionChanged"],
  firmware: ["update"],
  lifecycle: ["start", "stop", "saveState", "restoreState"],
  transform: ["transform"],
};

/** The interfaces that a class implements, in the order of `METHODS`. */
export function interfaces(plugin) {
  const has = (method) => typeof plugin.prototype?.[method] === "function";
  return Object.keys(METHODS).filter((name) => METHODS[name].some(has));
}

/** What the component's main module exports; `complain` takes the stack of what was thrown. */
export function exported(Plugin, complain) {
  let plugin = null;

  // Made and started at the first call: without `lifecycle` nobody else would start it.
  const one = () => {
    if (plugin === null) {
      const made = new Plugin();
      called(made, "start");
      plugin = made;
    }
    return plugin;
  };
  const told = (call) => {
    try {
      return call();
    } catch (thrown) {
      if (!(thrown instanceof Failure)) complain(thrown);
      // The text alone: what else is thrown, the runtime takes for the payload of the error or traps on it.
      throw words(thrown);
    }
  };
  const answered = (call) =>
    told(() => {
      try {
        return reply(call()).toWire();
      } catch (thrown) {
        if (thrown instanceof CommandFailed) return Reply.failed(thrown.message).toWire();
        throw thrown;
      }
    });
  const silent = (call) => {
    try {
      call();
    } catch (thrown) {
      complain(thrown);
    }
  };

  return {
    sensor: { sample: () => told(() => listed(called(one(), "sample"))) },
    commands: {
      handle: ({ id, text, device }) => answered(() => called(one(), "handle", new Command(text, { id, device }))),
    },
    twinEvents: {
      desiredChanged: ({ version, complete, desired }) =>
        told(() => void called(one(), "desiredChanged", new DesiredChange(desired, { version, complete }))),
    },
    connectionEvents: {
      changed: ({ tag, val }) => silent(() => called(one(), "connectionChanged", tag === "connected", val ?? "")),
    },
    firmware: { update: (request) => answered(() => called(one(), "update", new Firmware(request))) },
    lifecycle: {
      start: () => told(() => void one()),
      stop: () => {
        const stopped = plugin;
        plugin = null;
        if (stopped !== null) silent(() => called(stopped, "stop"));
      },
      saveState: () => told(() => bytes(called(one(), "saveState"))),
      restoreState: (saved) => told(() => void called(one(), "restoreState", saved)),
    },
    transform: { process: (samples) => told(() => listed(called(one(), "transform", samples.map(Sample.fromWire)))) },
  };
}

function called(plugin, method, ...given) {
  const answer = plugin[method]?.(...given);
  if (typeof answer?.then === "function")
    throw new TypeError(`${method} returned a promise; a plugin's methods are not async`);
  return answer;
}

function reply(answer) {
  if (answer instanceof Reply) return answer;
  if (answer === undefined || answer === null) return Reply.done();
  if (typeof answer === "string") return Reply.done(answer);
  throw new TypeError(`a reply is a Reply, a string or nothing, not a ${typeof answer}`);
}

function bytes(saved) {
  if (saved === undefined || saved === null) return new Uint8Array();
  if (saved instanceof Uint8Array) return saved;
  throw new TypeError("saveState returns a Uint8Array, or nothing");
}

function words(thrown) {
  const text = thrown instanceof Error ? thrown.message || thrown.name : String(thrown);
  return text.toWellFormed();
}
