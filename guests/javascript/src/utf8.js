// UTF-8. The runtime has no TextEncoder; its native functions for URIs do the work, much faster than a loop would.

const CHUNK = 8192;

/** Text from bytes in UTF-8; what is none becomes replacement characters. */
export function decode(bytes) {
  const binary = fromUnits(bytes);
  if (!/[\x80-\xff]/.test(binary)) return binary;
  try {
    return decodeURIComponent(escape(binary));
  } catch {
    return repaired(bytes);
  }
}

/** Bytes in UTF-8 from text; half a surrogate pair becomes a replacement character. */
export function encode(text) {
  const binary = unescape(encodeURIComponent(text.toWellFormed()));
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at += 1) bytes[at] = binary.charCodeAt(at);
  return bytes;
}

/** As the Encoding Standard decodes: one replacement character for each longest part that began well. */
function repaired(bytes) {
  // Never more units than bytes.
  const units = new Uint16Array(bytes.length);
  let length = 0;
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at];
    at += 1;
    if (first < 0x80) {
      units[length++] = first;
      continue;
    }
    const more = first < 0xc2 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : first < 0xf5 ? 3 : 0;
    let code = more === 0 ? -1 : first & (0x3f >> more);
    // What follows the first byte is narrower where longer forms, surrogates or too large numbers would begin.
    let low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
    let high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
    for (let left = more; left > 0 && code >= 0; left -= 1) {
      const next = bytes[at];
      if (next === undefined || next < low || next > high) {
        code = -1;
      } else {
        code = (code << 6) | (next & 0x3f);
        at += 1;
        low = 0x80;
        high = 0xbf;
      }
    }
    if (code > 0xffff) {
      units[length++] = 0xd800 + ((code - 0x10000) >> 10);
      units[length++] = 0xdc00 + (code & 0x3ff);
    } else {
      units[length++] = code < 0 ? 0xfffd : code;
    }
  }
  return fromUnits(units.subarray(0, length));
}

function fromUnits(units) {
  let text = "";
  for (let at = 0; at < units.length; at += CHUNK) {
    text += String.fromCharCode.apply(null, units.subarray(at, at + CHUNK));
  }
  return text;
}
