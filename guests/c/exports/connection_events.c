// Exports `connection-events`: plugin_connection_changed.
#include "../edgeplug.h"

void exports_connection_events_changed(edgeplug_connection_t *connection) {
    plugin_connection_changed(connection);
    edgeplug_connection_free(connection);
}

#include "../generated/export_connection_events.inc"
