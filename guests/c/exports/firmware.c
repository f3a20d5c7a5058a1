// Exports `firmware`: plugin_update.
#include "../edgeplug.h"

#include <stdlib.h>

bool exports_firmware_update(edgeplug_update_t *update, exports_firmware_reply_t *reply, edgeplug_string_t *error) {
    *reply = (exports_firmware_reply_t){0};
    *error = (edgeplug_string_t){0};
    bool good = plugin_update(update, reply, error);
    edgeplug_update_free(update);
    // Only one of them is told.
    good ? edgeplug_string_free(error) : edgeplug_reply_free(reply);
    return good;
}

#include "../generated/export_firmware.inc"
