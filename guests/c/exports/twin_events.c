// Exports `twin-events`: plugin_desired_changed.
#include "../edgeplug.h"

#include <stdlib.h>

bool exports_twin_events_desired_changed(edgeplug_change_t *change, edgeplug_string_t *error) {
    *error = (edgeplug_string_t){0};
    bool good = plugin_desired_changed(change, error);
    edgeplug_change_free(change);
    if (good) {
        edgeplug_string_free(error);
    }
    return good;
}

#include "../generated/export_twin_events.inc"
