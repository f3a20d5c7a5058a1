// Exports `commands`: plugin_handle.
#include "../edgeplug.h"

#include <stdlib.h>

bool exports_commands_handle(edgeplug_command_t *command, exports_commands_reply_t *reply, edgeplug_string_t *error) {
    *reply = (exports_commands_reply_t){0};
    *error = (edgeplug_string_t){0};
    bool good = plugin_handle(command, reply, error);
    edgeplug_command_free(command);
    // Only one of them is told.
    good ? edgeplug_string_free(error) : edgeplug_reply_free(reply);
    return good;
}

#include "../generated/export_commands.inc"
