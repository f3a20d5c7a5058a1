// The host, played: a plugin under plain Node, without wasm. Described in testing.d.ts.
import { provide } from "./src/host.js";
import { Reply } from "./src/requests.js";
import { decode, encode } from "./src/utf8.js";
import { Sample } from "./src/values.js";

// As in the daemon: `files`, and `state` without `state_kb` in the manifest.
const READ_BYTES_MAX = 1 << 20;
const STATE_BYTES_MAX = 64 << 10;
const KEYS_MAX = 64;
const KEY_BYTES_MAX = 128;

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
  mayDisconnect = false;
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
      disconnect: () => connect(played, false),
      reconnect: () => connect(played, true),
    },
    telemetry: { send: (samples) => send(played, samples) },
    files: {
      read: (path) => {
        const content = file(played, path);
        return content.length > READ_BYTES_MAX ? fail({ tag: "too-large", val: READ_BYTES_MAX }) : content;
      },
      readAt: (path, offset, length) => {
        const content = file(played, path);
        if (length > READ_BYTES_MAX) fail({ tag: "too-large", val: READ_BYTES_MAX });
        return content.slice(offset, offset + length);
      },
      find: (pattern) =>
        Object.keys(played.files)
          .filter((path) => matcher(pattern).test(path))
          .sort(),
    },
    firmwareFile: {
      read: (id, offset, length) => {
        const content = bytes(own(played.firmware, id) ?? fail(`there is no update ${id}`));
        if (length > READ_BYTES_MAX) fail(`at most ${READ_BYTES_MAX} bytes are read at once`);
        return content.slice(offset, offset + length);
      },
    },
    state: {
      get: (key) => own(played.state, key) ?? null,
      set: (key, value) => keep(played, key, value.slice()),
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

function connect(played, on) {
  if (!played.mayDisconnect) fail("the test does not grant `disconnect`");
  played.connected = on;
}

function keep(played, key, value) {
  const quota = (val) => fail({ tag: "quota", val });
  const bytes = encode(key).length;
  if (bytes === 0 || bytes > KEY_BYTES_MAX) quota(`a key has 1 to ${KEY_BYTES_MAX} bytes`);
  const kept = Object.entries({ ...played.state, [key]: value });
  if (kept.length > KEYS_MAX) quota(`at most ${KEYS_MAX} keys are kept`);
  const all = kept.reduce((sum, [name, held]) => sum + encode(name).length + held.length, 0);
  if (all > STATE_BYTES_MAX) quota(`at most ${STATE_BYTES_MAX} bytes are kept`);
  played.state[key] = value;
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
