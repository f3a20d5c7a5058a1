// What the runtime lacks of the usual globals: `console`, and a `Math.random` that differs at every start. Imported by
// components only.
import { host, isThere } from "./host.js";
import { encode } from "./utf8.js";

const LINE_BYTES_MAX = 4096;

const out = (...parts) => write("stdout", parts);
const err = (...parts) => write("stderr", parts);

// Set while the component is made, where there is no host to ask yet.
globalThis.console = Object.freeze({ log: out, info: out, debug: out, trace: err, warn: err, error: err });
Math.random = seededAtFirstUse();

/** Writes what was thrown to standard error, with its stack. */
export function complain(thrown) {
  write("stderr", [thrown]);
}

function write(stream, parts) {
  // While the component is made there is nowhere to write to.
  if (!isThere()) return;
  const line = encode(`${parts.map(shown).join(" ")}\n`);
  // As much as one call takes.
  for (let at = 0; at < line.length; at += LINE_BYTES_MAX) {
    host()
      [stream]()
      .blockingWriteAndFlush(line.subarray(at, at + LINE_BYTES_MAX));
  }
}

function shown(value) {
  if (typeof value === "string") return value;
  if (value instanceof Error) return `${value.name}: ${value.message}\n${value.stack ?? ""}`.trimEnd();
  if (typeof value !== "object" || value === null) return String(value);
  try {
    return JSON.stringify(value, (_, held) => (typeof held === "bigint" ? `${held}n` : held)) ?? String(value);
  } catch {
    return String(value);
  }
}

/** The runtime's own generator was seeded when the component was made, and would say the same at every start. */
function seededAtFirstUse() {
  let state;
  return () => {
    if (!isThere()) return 0.5;
    // The seed is two numbers of 64 bits, of which 53 arrive; xorshift of 32 bits needs one that is not 0.
    state ??= host()
      .insecureSeed()
      .map((part) => ((part / 0x800) ^ (part % 0x1_0000_0000)) | 1);
    return (next(state, 0) * 0x20_0000 + (next(state, 1) >>> 11)) / 2 ** 53;
  };
}

function next(state, which) {
  let x = state[which];
  x ^= x << 13;
  x ^= x >>> 17;
  x ^= x << 5;
  state[which] = x;
  return x >>> 0;
}
