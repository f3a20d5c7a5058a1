// Shared by the sources of this directory, not for plugins.
#ifndef EDGEPLUG_INTERNAL_H
#define EDGEPLUG_INTERNAL_H

#include "../edgeplug.h"

#include <stdarg.h>

// A new string, written as vprintf would.
edgeplug_string_t edgeplug_formatted(const char *format, va_list arguments) EDGEPLUG_PRINTF(1, 0);

// How many bytes from the beginning are UTF-8: all of them, or those before the first that is wrong.
size_t edgeplug_utf8_length(const uint8_t *text, size_t length);

// Makes UTF-8 of any bytes: every wrong one becomes a question mark.
void edgeplug_utf8_repair(uint8_t *text, size_t length);

// The text as the host takes it: a view of it or, where bytes of it are wrong, of a repaired copy, which is then in `copy`
// (empty before) to be freed.
edgeplug_string_t edgeplug_repaired(const char *text, edgeplug_string_t *copy);

// Frees what a list without elements still holds: nobody else looks at it.
void edgeplug_samples_tidy(edgeplug_samples_t *samples);

#endif
