// What the host offers, with C strings for arguments.
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// The callee's error becomes the caller's, or goes when the caller does not want it.
#define ANSWERED(call, type)            \
    type error;                         \
    ANSWERED_BY(call, type)

#define ANSWERED_BY(answer, type)       \
    if (answer) {                       \
        return true;                    \
    }                                   \
    if (why != NULL) {                  \
        *why = error;                   \
    } else {                            \
        type##_IS_FREED(&error);        \
    }                                   \
    return false

#define edgeplug_string_t_IS_FREED edgeplug_string_free
#define edgeplug_twin_error_t_IS_FREED edgeplug_twin_error_free
#define edgeplug_state_error_t_IS_FREED edgeplug_state_error_free
#define edgeplug_files_error_t_IS_FREED edgeplug_files_error_free

bool edgeplug_config_get(const char *key, edgeplug_string_t *value) {
    edgeplug_string_t name = edgeplug_view(key);
    if (wit_config_get(&name, value)) {
        return true;
    }
    *value = edgeplug_copy("");
    return false;
}

bool edgeplug_config_number(const char *key, double missing, double *number, edgeplug_string_t *error) {
    edgeplug_string_t text;
    if (!edgeplug_config_get(key, &text)) {
        *number = missing;
        return true;
    }
    char *end;
    *number = strtod(edgeplug_chars(text), &end);
    while (*end == ' ' || *end == '\t') {
        end++;
    }
    bool parsed = text.len > 0 && end == edgeplug_chars(text) + text.len && isfinite(*number);
    if (!parsed) {
        edgeplug_fail(error, "config key `%s` is \"%s\", which is no number", key, edgeplug_chars(text));
    }
    edgeplug_string_free(&text);
    return parsed;
}

void edgeplug_config_all(edgeplug_pairs_t *all) {
    wit_config_all(all);
}

void edgeplug_telemetry_send(const edgeplug_samples_t *samples, edgeplug_outcomes_t *outcomes) {
    edgeplug_samples_t borrowed = *samples;
    wit_telemetry_send(&borrowed, outcomes);
}

bool edgeplug_outcome_is_accepted(const edgeplug_outcome_t *outcome) {
    return outcome->tag == EDGEPLUG_OUTCOME_ACCEPTED || outcome->tag == EDGEPLUG_OUTCOME_ACCEPTED_IN_MEMORY;
}

edgeplug_string_t edgeplug_device_unique_id(void) {
    edgeplug_device_identity_t identity;
    wit_device_info(&identity);
    return identity.unique_id;
}

bool edgeplug_device_template(edgeplug_device_model_t *model) {
    return wit_device_template(model);
}

const char *edgeplug_device_kind_name(edgeplug_device_kind_t kind) {
    switch (kind) {
    case EDGEPLUG_DEVICE_KIND_BOOLEAN:
        return "boolean";
    case EDGEPLUG_DEVICE_KIND_BIT:
        return "bit";
    case EDGEPLUG_DEVICE_KIND_INTEGER:
        return "integer";
    case EDGEPLUG_DEVICE_KIND_LONG:
        return "long";
    case EDGEPLUG_DEVICE_KIND_NUMBER:
        return "number";
    case EDGEPLUG_DEVICE_KIND_TEXT:
        return "text";
    case EDGEPLUG_DEVICE_KIND_DATE:
        return "date";
    case EDGEPLUG_DEVICE_KIND_TIME:
        return "time";
    case EDGEPLUG_DEVICE_KIND_DATE_TIME:
        return "date-time";
    case EDGEPLUG_DEVICE_KIND_LAT_LONG:
        return "lat-long";
    default:
        return "object";
    }
}

bool edgeplug_device_connected(void) {
    return wit_device_connected();
}

bool edgeplug_device_disconnect(edgeplug_string_t *why) {
    ANSWERED(wit_device_disconnect(&error), edgeplug_string_t);
}

bool edgeplug_device_reconnect(edgeplug_string_t *why) {
    ANSWERED(wit_device_reconnect(&error), edgeplug_string_t);
}

bool edgeplug_twin_get(edgeplug_twin_document_t *document, edgeplug_twin_error_t *why) {
    ANSWERED(wit_twin_get(document, &error), edgeplug_twin_error_t);
}

bool edgeplug_twin_report(const char *patch, uint64_t *version, edgeplug_twin_error_t *why) {
    edgeplug_string_t copy = {0}, text = edgeplug_repaired(patch, &copy);
    uint64_t unwanted;
    edgeplug_twin_error_t error;
    bool merged = wit_twin_report(&text, version == NULL ? &unwanted : version, &error);
    edgeplug_string_free(&copy);
    ANSWERED_BY(merged, edgeplug_twin_error_t);
}

bool edgeplug_state_get(const char *key, edgeplug_option_bytes_t *value, edgeplug_state_error_t *why) {
    edgeplug_string_t name = edgeplug_view(key);
    ANSWERED(wit_state_get(&name, value, &error), edgeplug_state_error_t);
}

bool edgeplug_state_set(const char *key, const void *value, size_t length, edgeplug_state_error_t *why) {
    edgeplug_string_t name = edgeplug_view(key);
    edgeplug_bytes_t bytes = {(uint8_t *)value, length};
    ANSWERED(wit_state_set(&name, &bytes, &error), edgeplug_state_error_t);
}

bool edgeplug_state_delete(const char *key, edgeplug_state_error_t *why) {
    edgeplug_string_t name = edgeplug_view(key);
    ANSWERED(wit_state_delete(&name, &error), edgeplug_state_error_t);
}

bool edgeplug_state_keys(edgeplug_strings_t *keys, edgeplug_state_error_t *why) {
    ANSWERED(wit_state_keys(keys, &error), edgeplug_state_error_t);
}

bool edgeplug_files_read(const char *path, edgeplug_bytes_t *content, edgeplug_files_error_t *why) {
    edgeplug_string_t name = edgeplug_view(path);
    ANSWERED(wit_files_read(&name, content, &error), edgeplug_files_error_t);
}

bool edgeplug_files_read_text(const char *path, edgeplug_string_t *text, edgeplug_files_error_t *why) {
    edgeplug_bytes_t content;
    if (!edgeplug_files_read(path, &content, why)) {
        return false;
    }
    *text = (edgeplug_string_t){content.ptr, content.len};
    return true;
}

bool edgeplug_files_read_at(const char *path, uint64_t offset, uint32_t length, edgeplug_bytes_t *content,
                            edgeplug_files_error_t *why) {
    edgeplug_string_t name = edgeplug_view(path);
    ANSWERED(wit_files_read_at(&name, offset, length, content, &error), edgeplug_files_error_t);
}

bool edgeplug_files_find(const char *pattern, edgeplug_strings_t *paths, edgeplug_files_error_t *why) {
    edgeplug_string_t text = edgeplug_view(pattern);
    ANSWERED(wit_files_find(&text, paths, &error), edgeplug_files_error_t);
}

bool edgeplug_firmware_read(const char *id, uint64_t offset, uint32_t length, edgeplug_bytes_t *content,
                            edgeplug_string_t *why) {
    edgeplug_string_t name = edgeplug_view(id);
    ANSWERED(wit_firmware_file_read(&name, offset, length, content, &error), edgeplug_string_t);
}

// The words of an error are its own where it has some. A number among them is written without printf, so that a small
// plugin stays one.

static edgeplug_string_t with_number(const char *before, uint64_t number, const char *after) {
    char digits[20], *first = digits + sizeof digits;
    do {
        *--first = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    size_t count = (size_t)(digits + sizeof digits - first), length = strlen(before) + count + strlen(after);
    char *text = edgeplug_allocate(length + 1);
    strcpy(text, before);
    strncat(text, first, count);
    strcat(text, after);
    return (edgeplug_string_t){(uint8_t *)text, length};
}

edgeplug_string_t edgeplug_files_error_text(edgeplug_files_error_t *why) {
    switch (why->tag) {
    case EDGEPLUG_FILES_ERROR_DENIED:
        return why->val.denied;
    case EDGEPLUG_FILES_ERROR_NOT_FOUND:
        return edgeplug_copy("there is no such file");
    case EDGEPLUG_FILES_ERROR_TOO_LARGE:
        return with_number("the file is larger than ", why->val.too_large, " bytes");
    default:
        return why->val.other;
    }
}

edgeplug_string_t edgeplug_state_error_text(edgeplug_state_error_t *why) {
    return why->tag == EDGEPLUG_STATE_ERROR_QUOTA ? why->val.quota : why->val.unavailable;
}

edgeplug_string_t edgeplug_twin_error_text(edgeplug_twin_error_t *why) {
    switch (why->tag) {
    case EDGEPLUG_TWIN_ERROR_UNAVAILABLE:
        return why->val.unavailable;
    case EDGEPLUG_TWIN_ERROR_INVALID:
        return why->val.invalid;
    default:
        return with_number("the hub refused it with status ", why->val.refused, "");
    }
}
