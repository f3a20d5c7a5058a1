// What is handed to the host as text must be UTF-8, or the call traps. Names of chips, lines of logs and other texts of
// the world are not always.
#include "internal.h"

// The length of the character at the beginning of a text, 0 when there is none (RFC 3629, section 4).
static size_t character(const uint8_t *text, size_t length) {
    uint8_t first = text[0], low = 0x80, high = 0xbf;
    size_t count;
    if (first < 0x80) {
        return 1;
    } else if (first >= 0xc2 && first <= 0xdf) {
        count = 2;
    } else if (first >= 0xe0 && first <= 0xef) {
        count = 3;
        low = first == 0xe0 ? 0xa0 : low;
        high = first == 0xed ? 0x9f : high;
    } else if (first >= 0xf0 && first <= 0xf4) {
        count = 4;
        low = first == 0xf0 ? 0x90 : low;
        high = first == 0xf4 ? 0x8f : high;
    } else {
        return 0;
    }
    if (count > length || text[1] < low || text[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < count; i++) {
        if (text[i] < 0x80 || text[i] > 0xbf) {
            return 0;
        }
    }
    return count;
}

size_t edgeplug_utf8_length(const uint8_t *text, size_t length) {
    size_t good = 0, next;
    while (good < length && (next = character(text + good, length - good)) > 0) {
        good += next;
    }
    return good;
}

void edgeplug_utf8_repair(uint8_t *text, size_t length) {
    for (size_t good = 0; good < length; good++) {
        good += edgeplug_utf8_length(text + good, length - good);
        if (good < length) {
            text[good] = '?';
        }
    }
}
