// Exports `transform`: plugin_transform.
#include "../src/internal.h"

#include <stdlib.h>

bool exports_transform_process(exports_transform_list_sample_t *given, exports_transform_list_sample_t *made,
                               edgeplug_string_t *error) {
    edgeplug_samples_t samples = {given->ptr, given->len};
    *error = (edgeplug_string_t){0};
    if (!plugin_transform(&samples, error)) {
        edgeplug_samples_free(&samples);
        edgeplug_samples_tidy(&samples);
        return false;
    }
    edgeplug_string_free(error);
    edgeplug_samples_tidy(&samples);
    made->ptr = samples.ptr;
    made->len = samples.len;
    return true;
}

#include "../generated/export_transform.inc"
