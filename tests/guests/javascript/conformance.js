// The conformance guest (../GUEST.md) in JavaScript.
import {
  CommandFailed,
  DEFERRED,
  Failure,
  LatLong,
  Moment,
  Reply,
  RoundedInteger,
  Sample,
  abort,
  acks,
  config,
  decode,
  device,
  encode,
  files,
  hardware,
  log,
  number,
  state,
  telemetry,
  twin,
} from "../../../guests/javascript/edgeplug.js";

export default class Conformance {
  calls = 0;
  deferred = [];

  start() {
    log.info(`start: ${config.get("greeting", "(none)")}`);
    if (config.get("refuse") === "start") throw new Failure("refused to start");
  }

  stop() {
    log.info("stop");
  }

  saveState() {
    return encode(`calls=${this.calls}`);
  }

  restoreState(saved) {
    const text = decode(saved);
    if (config.get("refuse") === "restore") throw new Failure(`cannot go on from ${text}`);
    this.calls = Number(text.slice("calls=".length));
    log.info(`restored calls=${this.calls}`);
  }

  sample() {
    this.calls += 1;
    for (const id of this.deferred) log.info(`finish ${id}: ${finish(id, Reply.done("late"))}`);
    this.deferred = [];
    if (config.get("bad") === "sample") throw new Failure("no reading");
    return [
      new Sample({ calls: this.calls }),
      new Sample(
        {
          on: true,
          count: -7,
          ratio: 0.1,
          name: "Füße ☃ 𝄞",
          place: new LatLong(52.5, -13.25),
          axes: { x: -0.5, n: 3, ok: false, unit: "g" },
        },
        { device: "child-1", time: new Moment(1_700_000_000, 123_456_789) },
      ),
    ];
  }

  desiredChanged(change) {
    log.info(`desired ${change.version} ${change.complete ? "complete" : "partial"} ${change.json}`);
    if (change.json === '{"reject":true}') throw new Failure(`rejected version ${change.version}`);
  }

  connectionChanged(connected, reason) {
    log.info(connected ? "connected" : `disconnected: ${reason}`);
  }

  update(firmware) {
    const { id, device, name, version, size, sha256 } = firmware;
    log.info(`update ${id} for ${device ?? "self"} ${name} ${version} ${size} ${sha256}`);
    if (name === "later.bin") return DEFERRED;
    let sum = 0;
    let length = 0;
    for (const piece of firmware.pieces(4096)) {
      sum = piece.reduce((sum, byte) => (sum + byte) >>> 0, sum);
      length += piece.length;
    }
    return `sum ${sum} of ${length} bytes`;
  }

  transform(samples) {
    for (const sample of samples) {
      for (const [name, value] of Object.entries(sample.values)) {
        if (value === "bad") throw new Failure(`bad text in ${name}`);
        if (value instanceof RoundedInteger) throw new Failure("beyond 53 bits");
      }
      sample.values.mirrored = true;
    }
    return samples;
  }

  handle(command) {
    if (command.text.startsWith("whoami")) return command.device ?? "self";
    const space = command.text.indexOf(" ");
    const verb = space < 0 ? command.text : command.text.slice(0, space);
    if (!Object.hasOwn(COMMANDS, verb)) throw new CommandFailed(`no command ${verb}`);
    if (verb === "defer") this.deferred.push(command.id);
    return COMMANDS[verb](space < 0 ? "" : command.text.slice(space + 1));
  }
}

const COMMANDS = {
  echo: (text) => text,
  fail: (text) => Reply.failed(text),
  error: (text) => {
    throw new Failure(text);
  },
  // An exception would be told as an error.
  trap: () => abort("deliberate"),
  defer: () => DEFERRED,
  finish: (id) => finish(id, Reply.failed("given up")),
  progress: (argument) => {
    const [id, percent, text] = split(argument, 2);
    acks.progress(id, Number(percent), text);
    return "ok";
  },
  outcomes: () => telemetry.send(["a", "b", "c", "d"].map((name, at) => new Sample({ [name]: at + 1 }))).join(", "),
  send: (argument) => {
    const samples = Array.from({ length: Number(argument) }, (_, n) => new Sample({ n }));
    const accepted = telemetry.send(samples).filter((outcome) => outcome.kind === "accepted").length;
    return `${accepted} accepted, ${samples.length - accepted} not`;
  },
  integers: () =>
    Object.entries({ min: -(2n ** 63n), max: 2n ** 63n - 1n, safe: 2n ** 53n - 1n })
      .map(([name, value]) => `${name} ${sent(name, value)}`)
      .join(", "),
  numbers: () => {
    const big = Number.MAX_VALUE;
    telemetry.send(new Sample({ nan: NaN, inf: Infinity, neg: -Infinity, zero: -0, tiny: 5e-324, big: number(big) }));
    return "ok";
  },
  twin: () =>
    asked(twin.TwinError, () => {
      const { desired, desiredVersion, reported, reportedVersion } = twin.get();
      return `desired ${desired} v${desiredVersion}, reported ${reported} v${reportedVersion}`;
    }),
  report: (json) => asked(twin.TwinError, () => `version ${twin.report(json)}`),
  "state-set": (argument) => {
    const [key, text] = split(argument, 1);
    return asked(state.StateError, () => state.set(key, text));
  },
  "state-bytes": (key) =>
    asked(state.StateError, () =>
      state.set(
        key,
        Uint8Array.from({ length: 256 }, (_, n) => n),
      ),
    ),
  "state-get": (key) => asked(state.StateError, () => state.getText(key) ?? "(none)"),
  "state-hex": (key) => asked(state.StateError, () => Array.from(state.get(key) ?? [], hex).join("")),
  "state-delete": (key) => asked(state.StateError, () => state.delete(key)),
  "state-keys": () => asked(state.StateError, () => state.keys().join(",")),
  config: (key) => config.get(key, "(none)"),
  "config-all": () => Array.from(config.all(), ([key, value]) => `${key}=${value}`).join(";"),
  device: () => `${device.uniqueId()}, ${device.connected() ? "connected" : "disconnected"}`,
  template: () => described(device.template()),
  read: (path) => read(() => files.readText(path)),
  "read-at": (argument) => {
    const [offset, length, path] = split(argument, 2);
    return read(() => decode(files.readAt(path, Number(offset), Number(length))));
  },
  find: (pattern) => read(() => files.find(pattern).join(",")),
  hardware: () => {
    const calls = {
      i2c: () => hardware.i2c("bus", 0x40, [Uint8Array.of(1, 2), 1]),
      spi: () => hardware.spi("device", [{ transfer: Uint8Array.of(1) }]),
      gpio: () => hardware.gpio.read("line"),
      serial: () => hardware.serial.write("port", Uint8Array.of(65)),
    };
    return Object.entries(calls)
      .map(([name, call]) => `${name} ${kindOf(hardware.HardwareError, call)}`)
      .join(", ");
  },
  disconnect: () => link(device.disconnect),
  reconnect: () => link(device.reconnect),
  log: () => {
    for (const level of ["trace", "debug", "info", "warn", "error"]) log[level](`${level} ☃`);
    return "ok";
  },
  print: () => {
    console.log("to standard output");
    console.error("to standard error");
    return "ok";
  },
};

/** The first `times` words, and all the rest. */
function split(text, times) {
  const parts = text.split(" ");
  return [...parts.slice(0, times), parts.slice(times).join(" ")];
}

function finish(id, reply) {
  try {
    acks.finish(id, reply);
    return "ok";
  } catch (error) {
    if (!(error instanceof acks.AckError)) throw error;
    return error.kind === "unavailable" ? `unavailable: ${error.message}` : error.kind;
  }
}

function sent(name, value) {
  try {
    return telemetry.send(new Sample({ [name]: value }))[0].taken ? "ok" : "rejected";
  } catch (error) {
    if (error instanceof RangeError) return "refused";
    throw error;
  }
}

/** `<kind>: <text>` for an error of the interface, `ok` for nothing. */
function asked(kind, call) {
  try {
    return call() ?? "ok";
  } catch (error) {
    if (error instanceof RangeError) return Reply.failed("beyond 53 bits");
    if (!(error instanceof kind)) throw error;
    return Reply.failed(`${error.kind}: ${error.status ?? error.message}`);
  }
}

function read(call) {
  try {
    return call();
  } catch (error) {
    if (!(error instanceof files.FileError)) throw error;
    const more = { "too-large": ` ${error.limit}`, other: `: ${error.message}` }[error.kind] ?? "";
    return Reply.failed(error.kind + more);
  }
}

function kindOf(kind, call) {
  try {
    call();
    return "ok";
  } catch (error) {
    if (!(error instanceof kind)) throw error;
    return error.kind;
  }
}

function link(call) {
  try {
    call();
    return "ok";
  } catch (error) {
    return Reply.failed(error.message);
  }
}

function described(model) {
  if (model === null) return "none";
  const member = ({ name, kind, validity }) => `${name}:${kind}:${validity}`;
  const attribute = ({ name, kind, tag, validity, members }) =>
    `${name}:${kind}:${tag}:${validity}${members.length > 0 ? `{${members.map(member).join(",")}}` : ""}`;
  return [
    `every ${model.frequencyS} s`,
    model.edge ? "edge" : "plain",
    ...model.attributes.map(attribute),
    ...model.settings.map((setting) => `set ${member(setting)}`),
    ...model.children.map(({ uniqueId, tag }) => `child ${uniqueId}:${tag}`),
  ].join(" | ");
}

function hex(byte) {
  return byte.toString(16).padStart(2, "0");
}
