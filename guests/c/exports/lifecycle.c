// Exports `lifecycle`: plugin_start, plugin_stop, plugin_save_state and plugin_restore_state.
#include "../edgeplug.h"

#include <stdlib.h>

// A plugin writes those it needs; these do nothing.

__attribute__((__weak__)) bool plugin_start(edgeplug_string_t *error) {
    (void)error;
    return true;
}

__attribute__((__weak__)) void plugin_stop(void) {
}

__attribute__((__weak__)) bool plugin_save_state(edgeplug_bytes_t *saved, edgeplug_string_t *error) {
    (void)saved, (void)error;
    return true;
}

__attribute__((__weak__)) bool plugin_restore_state(const edgeplug_bytes_t *saved, edgeplug_string_t *error) {
    (void)saved, (void)error;
    return true;
}

bool exports_lifecycle_start(edgeplug_string_t *error) {
    *error = (edgeplug_string_t){0};
    bool good = plugin_start(error);
    if (good) {
        edgeplug_string_free(error);
    }
    return good;
}

void exports_lifecycle_stop(void) {
    plugin_stop();
}

bool exports_lifecycle_save_state(edgeplug_bytes_t *saved, edgeplug_string_t *error) {
    *saved = (edgeplug_bytes_t){0};
    *error = (edgeplug_string_t){0};
    bool good = plugin_save_state(saved, error);
    // Only one of them is told.
    good ? edgeplug_string_free(error) : edgeplug_bytes_free(saved);
    return good;
}

bool exports_lifecycle_restore_state(edgeplug_bytes_t *saved, edgeplug_string_t *error) {
    *error = (edgeplug_string_t){0};
    bool good = plugin_restore_state(saved, error);
    edgeplug_bytes_free(saved);
    if (good) {
        edgeplug_string_free(error);
    }
    return good;
}

#include "../generated/export_lifecycle.inc"
