// Measures how busy the machine is. A plugin to start from.
#include "edgeplug.h"

#include <stdlib.h>

// What the manifest asks to read.
static const char LOADAVG[] = "/proc/loadavg";

// From the manifest; readings are multiplied by it.
static double factor = 1.0;

bool plugin_start(edgeplug_string_t *error) {
    if (!edgeplug_config_number("factor", 1.0, &factor, error)) {
        return false;
    }
    edgeplug_info("started with a factor of %g", factor);
    return true;
}

bool plugin_sample(edgeplug_samples_t *samples, edgeplug_string_t *error) {
    edgeplug_string_t text;
    edgeplug_files_error_t why;
    if (!edgeplug_files_read_text(LOADAVG, &text, &why)) {
        edgeplug_string_t words = edgeplug_files_error_text(&why);
        edgeplug_fail(error, "%s: %s", LOADAVG, edgeplug_chars(words));
        edgeplug_string_free(&words);
        return false;
    }
    const char *begin = edgeplug_chars(text);
    char *end;
    double load = strtod(begin, &end);
    bool is_number = end != begin;
    if (is_number) {
        edgeplug_add_number(edgeplug_samples_add(samples), "load", load * factor);
    } else {
        edgeplug_fail(error, "%s holds no number: %s", LOADAVG, begin);
    }
    edgeplug_string_free(&text);
    return is_number;
}

bool plugin_handle(const edgeplug_command_t *command, edgeplug_reply_t *reply, edgeplug_string_t *error) {
    (void)error;
    if (edgeplug_command_is(command, "ping", NULL)) {
        *reply = edgeplug_done("pong");
    } else {
        *reply = edgeplug_failed("there is no command \"%s\"; there is: ping", edgeplug_chars(command->text));
    }
    return true;
}
