// Exports `sensor`: plugin_sample.
#include "../src/internal.h"

#include <stdlib.h>

bool exports_sensor_sample(exports_sensor_list_reading_t *readings, edgeplug_string_t *error) {
    edgeplug_samples_t samples = {0};
    *error = (edgeplug_string_t){0};
    if (!plugin_sample(&samples, error)) {
        edgeplug_samples_free(&samples);
        edgeplug_samples_tidy(&samples);
        return false;
    }
    edgeplug_string_free(error);
    edgeplug_samples_tidy(&samples);
    readings->ptr = samples.ptr;
    readings->len = samples.len;
    return true;
}

#include "../generated/export_sensor.inc"
