// The host, played: a plugin under plain Node, without wasm. Described in testing.d.ts.
import { provide } from "./src/host.js";
import { Reply } from "./src/requests.js";
import { decode, encode } from "./src/utf8.js";
import { Sample } from "./src/values.js";

const READ_BYTES_MAX = 1 << 20;

/** From here on the plugin's calls are answered by the host that is returned; every call of `play` makes a new one. */
export function play(given = {}) {
  const played = new Host(given);
  provide(interfaces(played));
  return played;
}

class Host {
  config = {};
  files = {};
  firmware = {};
  state = {};
  uniqueId = "test-device";
  connected = true;
  template = null;
  desired = {};
  desiredVersion = 1;
  reported = {};
  reportedVersion = 1;
  outcome = "accepted";
  sent = [];
  log = [];
  finished = {};
  progress = [];

  constructor(given) {
    for (const name of Object.keys(given)) {
      if (!(name in this)) throw new TypeError(`a played host has no ${name}; it has ${Object.keys(this).join(", ")}`);
    }
    Object.assign(this, given);
  }
}

function interfaces(played) {
  const absent = () => fail({ tag: "denied", val: "the played host has no hardware" });
  return {
    log: { log: (level, message) => void played.log.push([level, message]) },
    config: {
      get: (key) => own(played.config, key) ?? null,
      all: () => sorted(Object.entries(played.config)),
    },
    device: {
      info: () => ({ uniqueId: played.uniqueId }),
      template: () => played.template,
      connected: () => played.connected,
      disconnect: () => void (played.connected = false),
      reconnect: () => void (played.connected = true),
    },
    telemetry: { send: (samples) => send(played, samples) },
    files: {
      read: (path) => {
        const content = file(played, path);
        return content.length > READ_BYTES_MAX ? fail({ tag: "too-large", val: READ_BYTES_MAX }) : content;
      },
      readAt: (path, offset, length) => file(played, path).slice(offset, offset + length),
      find: (pattern) =>
        Object.keys(played.files)
          .filter((path) => matcher(pattern).test(path))
          .sort(),
    },
    firmwareFile: {
      read: (id, offset, length) =>
        bytes(own(played.firmware, id) ?? fail(`there is no update ${id}`)).slice(offset, offset + length),
    },
    state: {
      get: (key) => own(played.state, key) ?? null,
      set: (key, value) => void (played.state[key] = value.slice()),
      delete: (key) => void delete played.state[key],
      keys: () => Object.keys(played.state).sort(),
    },
    twin: { get: () => twin(played), report: (patch) => report(played, patch) },
    acks: {
      finish: (id, { tag, val }) => void (played.finished[id] = new Reply(tag, val)),
      progress: (...told) => void played.progress.push(told),
    },
    i2c: { transaction: absent },
    spi: { transaction: absent },
    gpio: { read: absent, write: absent, wait: absent },
    serial: { read: absent, write: absent },
  };
}

/** Fails as a function of the host does. */
function fail(payload) {
  throw Object.assign(new Error("see payload"), { payload });
}

function own(object, key) {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

function bytes(content) {
  return typeof content === "string" ? encode(content) : content;
}

function file(played, path) {
  return bytes(own(played.files, path) ?? fail({ tag: "not-found" }));
}

function sorted(entries) {
  return entries.sort(([one], [other]) => (one < other ? -1 : 1));
}

/** As the host matches: neither `*` nor `?` stands for `/`. */
function matcher(pattern) {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replaceAll("*", "[^/]*")
    .replaceAll("?", "[^/]");
  return new RegExp(`^${source}$`, "s");
}

function send(played, samples) {
  const [, tag, val] = played.outcome.match(/^([a-z-]+)(?:: (.*))?$/s);
  if (tag.startsWith("accepted")) played.sent.push(...samples.map(Sample.fromWire));
  return samples.map(() => ({ tag, val }));
}

function twin(played) {
  if (!played.connected) fail({ tag: "unavailable", val: "offline" });
  const { desired, desiredVersion, reported, reportedVersion } = played;
  return { desired: JSON.stringify(desired), desiredVersion, reported: JSON.stringify(reported), reportedVersion };
}

function report(played, patch) {
  if (!played.connected) fail({ tag: "unavailable", val: "offline" });
  for (const [name, value] of Object.entries(JSON.parse(patch))) {
    if (value === null) delete played.reported[name];
    else played.reported[name] = value;
  }
  played.reportedVersion += 1;
  return played.reportedVersion;
}

export { decode, encode };
