// Building samples, and adding to those that came from the host.
#include "internal.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

// As many elements a list has room for at first.
#define ROOM_MIN 4

// Room for one more element behind `length` of them. How much there is already, malloc knows.
static void *grown(void *list, size_t length, size_t element) {
    if (list != NULL && malloc_usable_size(list) / element > length) {
        return list;
    }
    size_t room = length < ROOM_MIN / 2 ? ROOM_MIN : 2 * length;
    return edgeplug_reallocate(list, length > SIZE_MAX / 2 / element ? SIZE_MAX : room * element);
}

edgeplug_sample_t *edgeplug_samples_add(edgeplug_samples_t *samples) {
    samples->ptr = grown(samples->ptr, samples->len, sizeof *samples->ptr);
    edgeplug_sample_t *sample = &samples->ptr[samples->len++];
    memset(sample, 0, sizeof *sample);
    return sample;
}

void edgeplug_samples_remove(edgeplug_samples_t *samples, size_t index) {
    if (index >= samples->len) {
        return;
    }
    edgeplug_sample_t *sample = &samples->ptr[index];
    edgeplug_sample_free(sample);
    samples->len--;
    memmove(sample, sample + 1, (samples->len - index) * sizeof *sample);
    edgeplug_samples_tidy(samples);
}

void edgeplug_samples_tidy(edgeplug_samples_t *samples) {
    if (samples->len == 0) {
        free(samples->ptr);
        samples->ptr = NULL;
    }
}

void edgeplug_sample_of(edgeplug_sample_t *sample, const char *child) {
    edgeplug_option_string_free(&sample->device);
    sample->device.is_some = true;
    sample->device.val = edgeplug_copy(child);
}

void edgeplug_sample_at(edgeplug_sample_t *sample, int64_t seconds, uint32_t nanoseconds) {
    sample->time.is_some = true;
    sample->time.val.seconds = seconds;
    sample->time.val.nanoseconds = nanoseconds;
}

void edgeplug_add(edgeplug_sample_t *sample, const char *name, edgeplug_value_t value) {
    edgeplug_list_tuple2_string_value_t *values = &sample->values;
    values->ptr = grown(values->ptr, values->len, sizeof *values->ptr);
    edgeplug_tuple2_string_value_t *added = &values->ptr[values->len++];
    added->f0 = edgeplug_copy(name);
    added->f1 = value;
}

void edgeplug_add_boolean(edgeplug_sample_t *sample, const char *name, bool value) {
    edgeplug_add(sample, name, (edgeplug_value_t){.tag = EDGEPLUG_VALUE_BOOLEAN, .val.boolean = value});
}

void edgeplug_add_integer(edgeplug_sample_t *sample, const char *name, int64_t value) {
    edgeplug_add(sample, name, (edgeplug_value_t){.tag = EDGEPLUG_VALUE_INTEGER, .val.integer = value});
}

void edgeplug_add_number(edgeplug_sample_t *sample, const char *name, double value) {
    edgeplug_add(sample, name, (edgeplug_value_t){.tag = EDGEPLUG_VALUE_NUMBER, .val.number = value});
}

void edgeplug_add_text(edgeplug_sample_t *sample, const char *name, const char *value) {
    edgeplug_add(sample, name, (edgeplug_value_t){.tag = EDGEPLUG_VALUE_TEXT, .val.text = edgeplug_copy(value)});
}

void edgeplug_add_place(edgeplug_sample_t *sample, const char *name, double latitude, double longitude) {
    edgeplug_lat_long_t place = {latitude, longitude};
    edgeplug_add(sample, name, (edgeplug_value_t){.tag = EDGEPLUG_VALUE_LAT_LONG, .val.lat_long = place});
}

edgeplug_value_t edgeplug_object(void) {
    return (edgeplug_value_t){.tag = EDGEPLUG_VALUE_OBJECT, .val.object = {NULL, 0}};
}

static void add_member(edgeplug_value_t *object, const char *name, edgeplug_scalar_t value) {
    if (object->tag != EDGEPLUG_VALUE_OBJECT) {
        edgeplug_log(EDGEPLUG_LOG_LEVEL_ERROR, "a member is added to a value that is no object");
        abort();
    }
    edgeplug_list_tuple2_string_scalar_t *members = &object->val.object;
    members->ptr = grown(members->ptr, members->len, sizeof *members->ptr);
    edgeplug_tuple2_string_scalar_t *added = &members->ptr[members->len++];
    added->f0 = edgeplug_copy(name);
    added->f1 = value;
}

void edgeplug_object_add_boolean(edgeplug_value_t *object, const char *name, bool value) {
    add_member(object, name, (edgeplug_scalar_t){.tag = EDGEPLUG_SCALAR_BOOLEAN, .val.boolean = value});
}

void edgeplug_object_add_integer(edgeplug_value_t *object, const char *name, int64_t value) {
    add_member(object, name, (edgeplug_scalar_t){.tag = EDGEPLUG_SCALAR_INTEGER, .val.integer = value});
}

void edgeplug_object_add_number(edgeplug_value_t *object, const char *name, double value) {
    add_member(object, name, (edgeplug_scalar_t){.tag = EDGEPLUG_SCALAR_NUMBER, .val.number = value});
}

void edgeplug_object_add_text(edgeplug_value_t *object, const char *name, const char *value) {
    add_member(object, name, (edgeplug_scalar_t){.tag = EDGEPLUG_SCALAR_TEXT, .val.text = edgeplug_copy(value)});
}
