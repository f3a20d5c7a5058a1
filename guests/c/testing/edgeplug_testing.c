// Plays the host: what generated/edgeplug_imports.c calls in WebAssembly is answered here.
#include "edgeplug_testing.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

// The limits of `state`, as the WIT has them.
#define KEYS_MAX 64
#define KEY_LENGTH_MAX 128
#define STATE_LENGTH_MAX 65536
// What the daemon reads in one go.
#define READ_LENGTH_MAX (1 << 20)

edgeplug_testing_t edgeplug_testing;

void edgeplug_testing_reset(void) {
    edgeplug_testing_t *host = &edgeplug_testing;
    edgeplug_pairs_free(&host->config);
    edgeplug_pairs_free(&host->files);
    edgeplug_pairs_free(&host->state);
    edgeplug_pairs_free(&host->firmware);
    edgeplug_pairs_free(&host->ends);
    edgeplug_samples_free(&host->sent);
    edgeplug_string_free(&host->log);
    edgeplug_string_free(&host->reports);
    edgeplug_string_free(&host->progress);
    *host = (edgeplug_testing_t){
        .unique_id = "test-device",
        .connected = true,
        .outcome = EDGEPLUG_OUTCOME_ACCEPTED,
        .desired = "{}",
        .reported = "{}",
        .desired_version = 1,
        .reported_version = 1,
    };
}

static edgeplug_pair_t *pair_of(const edgeplug_pairs_t *pairs, edgeplug_string_t key) {
    for (size_t i = 0; i < pairs->len; i++) {
        edgeplug_pair_t *pair = &pairs->ptr[i];
        if (pair->f0.len == key.len && (key.len == 0 || memcmp(pair->f0.ptr, key.ptr, key.len) == 0)) {
            return pair;
        }
    }
    return NULL;
}

static edgeplug_string_t copy_of(edgeplug_string_t string) {
    edgeplug_bytes_t bytes = edgeplug_bytes(string.ptr, string.len);
    return (edgeplug_string_t){bytes.ptr, bytes.len};
}

static int by_key(const void *one, const void *other) {
    const edgeplug_pair_t *first = one, *second = other;
    return strcmp(edgeplug_chars(first->f0), edgeplug_chars(second->f0));
}

static void take_away(edgeplug_pairs_t *pairs, edgeplug_string_t key) {
    edgeplug_pair_t *pair = pair_of(pairs, key);
    if (pair != NULL) {
        edgeplug_pair_free(pair);
        *pair = pairs->ptr[--pairs->len];
        if (pairs->len == 0) {
            free(pairs->ptr);
            pairs->ptr = NULL;
        } else {
            qsort(pairs->ptr, pairs->len, sizeof *pairs->ptr, by_key);
        }
    }
}

static void put(edgeplug_pairs_t *pairs, edgeplug_string_t key, edgeplug_string_t value) {
    edgeplug_pair_t pair = {copy_of(key), copy_of(value)};
    take_away(pairs, key);
    pairs->ptr = edgeplug_reallocate(pairs->ptr, (pairs->len + 1) * sizeof *pairs->ptr);
    pairs->ptr[pairs->len++] = pair;
    qsort(pairs->ptr, pairs->len, sizeof *pairs->ptr, by_key);
}

void edgeplug_testing_put(edgeplug_pairs_t *pairs, const char *key, const char *value) {
    if (value == NULL) {
        take_away(pairs, edgeplug_view(key));
    } else {
        put(pairs, edgeplug_view(key), edgeplug_view(value));
    }
}

const char *edgeplug_testing_get(const edgeplug_pairs_t *pairs, const char *key) {
    const edgeplug_pair_t *pair = pair_of(pairs, edgeplug_view(key));
    return pair == NULL ? NULL : edgeplug_chars(pair->f1);
}

const edgeplug_value_t *edgeplug_testing_value(const edgeplug_sample_t *sample, const char *name) {
    for (size_t i = 0; i < sample->values.len; i++) {
        if (edgeplug_equals(sample->values.ptr[i].f0, name)) {
            return &sample->values.ptr[i].f1;
        }
    }
    return NULL;
}

static edgeplug_bytes_t part_of(edgeplug_string_t file, uint64_t offset, uint64_t length) {
    if (offset >= file.len) {
        return edgeplug_bytes(NULL, 0);
    }
    uint64_t left = file.len - offset;
    return edgeplug_bytes(file.ptr + offset, (size_t)(length < left ? length : left));
}

void wit_log_log(edgeplug_log_level_t level, edgeplug_string_t *message) {
    static const char *const names[] = {"trace", "debug", "info", "warn", "error"};
    edgeplug_append(&edgeplug_testing.log, "%s %s\n", names[level], edgeplug_chars(*message));
}

bool wit_config_get(edgeplug_string_t *key, edgeplug_string_t *value) {
    const edgeplug_pair_t *pair = pair_of(&edgeplug_testing.config, *key);
    if (pair != NULL) {
        *value = copy_of(pair->f1);
    }
    return pair != NULL;
}

void wit_config_all(edgeplug_pairs_t *all) {
    *all = (edgeplug_pairs_t){NULL, 0};
    for (size_t i = 0; i < edgeplug_testing.config.len; i++) {
        put(all, edgeplug_testing.config.ptr[i].f0, edgeplug_testing.config.ptr[i].f1);
    }
}

static edgeplug_value_t value_copy(const edgeplug_value_t *value) {
    edgeplug_value_t copy = *value;
    if (value->tag == EDGEPLUG_VALUE_TEXT) {
        copy.val.text = copy_of(value->val.text);
    } else if (value->tag == EDGEPLUG_VALUE_OBJECT) {
        const edgeplug_list_tuple2_string_scalar_t *members = &value->val.object;
        size_t size = members->len * sizeof *members->ptr;
        copy.val.object.ptr = memcpy(edgeplug_allocate(size), members->ptr, size);
        for (size_t i = 0; i < members->len; i++) {
            edgeplug_tuple2_string_scalar_t *member = &copy.val.object.ptr[i];
            member->f0 = copy_of(member->f0);
            if (member->f1.tag == EDGEPLUG_SCALAR_TEXT) {
                member->f1.val.text = copy_of(member->f1.val.text);
            }
        }
    }
    return copy;
}

static void record(const edgeplug_sample_t *sample) {
    edgeplug_sample_t *sent = edgeplug_samples_add(&edgeplug_testing.sent);
    if (sample->device.is_some) {
        edgeplug_sample_of(sent, edgeplug_chars(sample->device.val));
    }
    sent->time = sample->time;
    for (size_t i = 0; i < sample->values.len; i++) {
        edgeplug_add(sent, edgeplug_chars(sample->values.ptr[i].f0), value_copy(&sample->values.ptr[i].f1));
    }
}

void wit_telemetry_send(edgeplug_samples_t *samples, edgeplug_outcomes_t *outcomes) {
    outcomes->len = samples->len;
    outcomes->ptr = samples->len == 0 ? NULL : edgeplug_allocate(samples->len * sizeof *outcomes->ptr);
    for (size_t i = 0; i < samples->len; i++) {
        edgeplug_outcome_t outcome = {.tag = edgeplug_testing.outcome};
        if (outcome.tag == EDGEPLUG_OUTCOME_REJECTED) {
            outcome.val.rejected = edgeplug_copy("rejected by the test");
        } else if (edgeplug_outcome_is_accepted(&outcome)) {
            record(&samples->ptr[i]);
        }
        outcomes->ptr[i] = outcome;
    }
}

void wit_device_info(edgeplug_device_identity_t *identity) {
    identity->unique_id = edgeplug_copy(edgeplug_testing.unique_id);
}

bool wit_device_template(edgeplug_device_model_t *model) {
    if (edgeplug_testing.template != NULL) {
        edgeplug_testing.template(model);
    }
    return edgeplug_testing.template != NULL;
}

bool wit_device_connected(void) {
    return edgeplug_testing.connected;
}

static bool switch_connection(bool connected, edgeplug_string_t *error) {
    if (!edgeplug_testing.may_disconnect) {
        return edgeplug_fail(error, "the test does not grant `disconnect`");
    }
    edgeplug_testing.connected = connected;
    return true;
}

bool wit_device_disconnect(edgeplug_string_t *error) {
    return switch_connection(false, error);
}

bool wit_device_reconnect(edgeplug_string_t *error) {
    return switch_connection(true, error);
}

static bool has_twin(edgeplug_twin_error_t *error) {
    if (edgeplug_testing.twin_error != NULL) {
        error->tag = EDGEPLUG_TWIN_ERROR_UNAVAILABLE;
        error->val.unavailable = edgeplug_copy(edgeplug_testing.twin_error);
    }
    return edgeplug_testing.twin_error == NULL;
}

bool wit_twin_get(edgeplug_twin_document_t *document, edgeplug_twin_error_t *error) {
    if (!has_twin(error)) {
        return false;
    }
    document->desired = edgeplug_copy(edgeplug_testing.desired);
    document->desired_version = edgeplug_testing.desired_version;
    document->reported = edgeplug_copy(edgeplug_testing.reported);
    document->reported_version = edgeplug_testing.reported_version;
    return true;
}

bool wit_twin_report(edgeplug_string_t *patch, uint64_t *version, edgeplug_twin_error_t *error) {
    if (!has_twin(error)) {
        return false;
    }
    edgeplug_append(&edgeplug_testing.reports, "%s\n", edgeplug_chars(*patch));
    *version = ++edgeplug_testing.reported_version;
    return true;
}

bool wit_acks_finish(edgeplug_string_t *id, edgeplug_acks_ending_t *ending, edgeplug_acks_error_t *error) {
    if (pair_of(&edgeplug_testing.ends, *id) != NULL) {
        error->tag = EDGEPLUG_ACKS_ERROR_UNKNOWN;
        return false;
    }
    bool done = ending->tag == EDGEPLUG_ENDING_DONE;
    const edgeplug_string_t *message = done ? &ending->val.done : &ending->val.failed;
    edgeplug_string_t end = edgeplug_format("%s %s", done ? "done" : "failed", edgeplug_chars(*message));
    put(&edgeplug_testing.ends, *id, end);
    edgeplug_string_free(&end);
    return true;
}

void wit_acks_progress(edgeplug_string_t *id, uint8_t percent, edgeplug_string_t *message) {
    edgeplug_append(&edgeplug_testing.progress, "%s %u %s\n", edgeplug_chars(*id), (unsigned)percent,
                    edgeplug_chars(*message));
}

bool wit_state_get(edgeplug_string_t *key, edgeplug_option_bytes_t *value, edgeplug_state_error_t *error) {
    (void)error;
    const edgeplug_pair_t *pair = pair_of(&edgeplug_testing.state, *key);
    value->is_some = pair != NULL;
    if (pair != NULL) {
        value->val = edgeplug_bytes(pair->f1.ptr, pair->f1.len);
    }
    return true;
}

bool wit_state_set(edgeplug_string_t *key, edgeplug_bytes_t *value, edgeplug_state_error_t *error) {
    size_t count = 1, length = key->len + value->len;
    for (size_t i = 0; i < edgeplug_testing.state.len; i++) {
        const edgeplug_pair_t *pair = &edgeplug_testing.state.ptr[i];
        if (pair != pair_of(&edgeplug_testing.state, *key)) {
            count++;
            length += pair->f0.len + pair->f1.len;
        }
    }
    if (key->len == 0 || key->len > KEY_LENGTH_MAX || count > KEYS_MAX || length > STATE_LENGTH_MAX) {
        error->tag = EDGEPLUG_STATE_ERROR_QUOTA;
        error->val.quota = edgeplug_copy("past the limits of keys, of a key's length or of the whole");
        return false;
    }
    put(&edgeplug_testing.state, *key, (edgeplug_string_t){value->ptr, value->len});
    return true;
}

bool wit_state_delete(edgeplug_string_t *key, edgeplug_state_error_t *error) {
    (void)error;
    take_away(&edgeplug_testing.state, *key);
    return true;
}

// The keys of all pairs that fit the pattern, all of them where it is NULL.
static void keys_of(const edgeplug_pairs_t *pairs, const char *pattern, edgeplug_strings_t *keys) {
    *keys = (edgeplug_strings_t){NULL, 0};
    for (size_t i = 0; i < pairs->len; i++) {
        if (pattern == NULL || fnmatch(pattern, edgeplug_chars(pairs->ptr[i].f0), FNM_PATHNAME | FNM_NOESCAPE) == 0) {
            keys->ptr = edgeplug_reallocate(keys->ptr, (keys->len + 1) * sizeof *keys->ptr);
            keys->ptr[keys->len++] = copy_of(pairs->ptr[i].f0);
        }
    }
}

bool wit_state_keys(edgeplug_strings_t *keys, edgeplug_state_error_t *error) {
    (void)error;
    keys_of(&edgeplug_testing.state, NULL, keys);
    return true;
}

bool wit_files_read_at(edgeplug_string_t *path, uint64_t offset, uint32_t length, edgeplug_bytes_t *content,
                       edgeplug_files_error_t *error) {
    const edgeplug_pair_t *file = pair_of(&edgeplug_testing.files, *path);
    if (file == NULL) {
        error->tag = EDGEPLUG_FILES_ERROR_NOT_FOUND;
        return false;
    }
    if (length > READ_LENGTH_MAX) {
        error->tag = EDGEPLUG_FILES_ERROR_TOO_LARGE;
        error->val.too_large = READ_LENGTH_MAX;
        return false;
    }
    *content = part_of(file->f1, offset, length);
    return true;
}

bool wit_files_read(edgeplug_string_t *path, edgeplug_bytes_t *content, edgeplug_files_error_t *error) {
    const edgeplug_pair_t *file = pair_of(&edgeplug_testing.files, *path);
    bool large = file != NULL && file->f1.len > READ_LENGTH_MAX;
    return wit_files_read_at(path, 0, large ? READ_LENGTH_MAX + 1 : READ_LENGTH_MAX, content, error);
}

bool wit_files_find(edgeplug_string_t *pattern, edgeplug_strings_t *paths, edgeplug_files_error_t *error) {
    (void)error;
    keys_of(&edgeplug_testing.files, edgeplug_chars(*pattern), paths);
    return true;
}

bool wit_firmware_file_read(edgeplug_string_t *id, uint64_t offset, uint32_t length, edgeplug_bytes_t *content,
                            edgeplug_string_t *error) {
    const edgeplug_pair_t *file = pair_of(&edgeplug_testing.firmware, *id);
    if (file == NULL) {
        return edgeplug_fail(error, "no update %s is under way", edgeplug_chars(*id));
    }
    if (length > READ_LENGTH_MAX) {
        return edgeplug_fail(error, "at most %d bytes are read at once", READ_LENGTH_MAX);
    }
    *content = part_of(file->f1, offset, length);
    return true;
}

// No test has hardware; neither has the daemon yet.

static bool denied(edgeplug_hardware_error_t *error) {
    error->tag = EDGEPLUG_HARDWARE_ERROR_DENIED;
    error->val.denied = edgeplug_copy("the test has no hardware");
    return false;
}

bool wit_i2c_transaction(edgeplug_string_t *bus, uint16_t address, edgeplug_i2c_list_operation_t *operations,
                         edgeplug_bytes_list_t *answers, edgeplug_i2c_error_t *error) {
    (void)bus, (void)address, (void)operations, (void)answers;
    return denied(error);
}

bool wit_spi_transaction(edgeplug_string_t *device, edgeplug_spi_list_operation_t *operations,
                         edgeplug_bytes_list_t *answers, edgeplug_spi_error_t *error) {
    (void)device, (void)operations, (void)answers;
    return denied(error);
}

bool wit_gpio_read(edgeplug_string_t *line, bool *active, edgeplug_gpio_error_t *error) {
    (void)line, (void)active;
    return denied(error);
}

bool wit_gpio_write(edgeplug_string_t *line, bool active, edgeplug_gpio_error_t *error) {
    (void)line, (void)active;
    return denied(error);
}

bool wit_gpio_wait(edgeplug_string_t *line, edgeplug_gpio_edge_t edge, uint32_t time_ms_max, bool *seen,
                   edgeplug_gpio_error_t *error) {
    (void)line, (void)edge, (void)time_ms_max, (void)seen;
    return denied(error);
}

bool wit_serial_read(edgeplug_string_t *port, uint32_t length, uint32_t time_ms_max, edgeplug_bytes_t *data,
                     edgeplug_serial_error_t *error) {
    (void)port, (void)length, (void)time_ms_max, (void)data;
    return denied(error);
}

bool wit_serial_write(edgeplug_string_t *port, edgeplug_bytes_t *data, edgeplug_serial_error_t *error) {
    (void)port, (void)data;
    return denied(error);
}
