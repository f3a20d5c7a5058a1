// The plugin's voice.
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>

void edgeplug_log(edgeplug_log_level_t level, const char *message) {
    edgeplug_string_t copy = {0}, text = edgeplug_repaired(message, &copy);
    wit_log_log(level, &text);
    edgeplug_string_free(&copy);
}

static void log_formatted(edgeplug_log_level_t level, const char *format, va_list arguments) {
    edgeplug_string_t text = edgeplug_formatted(format, arguments);
    wit_log_log(level, &text);
    edgeplug_string_free(&text);
}

#define LOG(level)                             \
    va_list arguments;                         \
    va_start(arguments, format);               \
    log_formatted(level, format, arguments);   \
    va_end(arguments)

void edgeplug_trace(const char *format, ...) { LOG(EDGEPLUG_LOG_LEVEL_TRACE); }

void edgeplug_debug(const char *format, ...) { LOG(EDGEPLUG_LOG_LEVEL_DEBUG); }

void edgeplug_info(const char *format, ...) { LOG(EDGEPLUG_LOG_LEVEL_INFO); }

void edgeplug_warn(const char *format, ...) { LOG(EDGEPLUG_LOG_LEVEL_WARN); }

void edgeplug_error(const char *format, ...) { LOG(EDGEPLUG_LOG_LEVEL_ERROR); }

// What a plugin wrote to standard error last is what the host calls the reason of its end.
void edgeplug_abort(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    edgeplug_string_t text = edgeplug_formatted(format, arguments);
    fprintf(stderr, "%s\n", edgeplug_chars(text));
    abort();
}
