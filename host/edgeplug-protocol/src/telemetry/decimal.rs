//! Numbers of few decimals as JSON, as `serde_json` writes them, in two fifths of its instructions: what sensors send.
//!
//! What must stay true: the text is the shortest one that reads back as the same number, which is what `serde_json` writes.
//! A decimal of at most 15 digits is that text of the number nearest to it, once it ends in no zero (IEEE 754-2008, 5.12.2:
//! so many digits survive the way through a double).

/// Units in one: sensors have no more than four decimals.
const UNITS: f64 = 10_000.0;
/// Below it a number with so many decimals has at most 13 digits.
const MAX: f64 = 1e9;
/// Where the point stands in the text; before it there is room for ten digits and a sign.
const POINT: usize = 11;

/// Writes the number if it is one of these; says whether it did.
pub(super) fn put(bytes: &mut Vec<u8>, number: f64) -> bool {
    let magnitude = number.abs();
    // Nothing is left to the general way, which knows about its sign.
    if !(magnitude > 0.0 && magnitude < MAX) {
        return false;
    }
    let units = (magnitude * UNITS + 0.5) as i64;
    // Both are exact, so the quotient is the number nearest to the decimal.
    if units as f64 / UNITS != magnitude {
        return false;
    }
    let (whole, fraction) = ((units / UNITS as i64) as u32, (units % UNITS as i64) as u32);
    let (high, low) = (fraction / 100, fraction % 100);
    let mut text = [0; POINT + 5];
    text[POINT] = b'.';
    text[POINT + 1] = digit(high / 10);
    text[POINT + 2] = digit(high % 10);
    text[POINT + 3] = digit(low / 10);
    text[POINT + 4] = digit(low % 10);
    let decimals = match (high % 10, low / 10, low % 10) {
        (0, 0, 0) => 1,
        (_, 0, 0) => 2,
        (_, _, 0) => 3,
        _ => 4,
    };
    let (mut start, mut rest) = (POINT, whole);
    for byte in text.iter_mut().take(POINT).rev() {
        *byte = digit(rest % 10);
        rest /= 10;
        start -= 1;
        if rest == 0 {
            break;
        }
    }
    if number < 0.0 {
        bytes.push(b'-');
    }
    bytes.extend_from_slice(text.get(start..=POINT + decimals).unwrap_or_default());
    true
}

/// Of a number below ten.
fn digit(number: u32) -> u8 {
    b'0' + number as u8
}

#[cfg(test)]
mod tests;
