// The conformance guest, see ../GUEST.md.
#include "edgeplug_hardware.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFERRED_MAX 16

static int64_t calls;
static char *deferred[DEFERRED_MAX];
static size_t deferred_count;

// The value of a config key; NULL when there is none. Never freed: there are few, and they are looked at seldom.
static const char *config(const char *key) {
    edgeplug_string_t value;
    return edgeplug_config_get(key, &value) ? edgeplug_chars(value) : NULL;
}

static bool config_is(const char *key, const char *wanted) {
    const char *value = config(key);
    return value != NULL && strcmp(value, wanted) == 0;
}

// The text becomes the reply's.
static edgeplug_reply_t done_with(edgeplug_string_t text) {
    return (edgeplug_reply_t){.tag = EDGEPLUG_REPLY_DONE, .val.done = text};
}

// As GUEST.md spells what `acks.finish` says. Frees the error.
static edgeplug_string_t finish_outcome(bool good, edgeplug_acks_error_t *why) {
    if (good) {
        return edgeplug_copy("ok");
    }
    switch (why->tag) {
    case EDGEPLUG_ACKS_ERROR_UNKNOWN:
        return edgeplug_copy("unknown");
    case EDGEPLUG_ACKS_ERROR_NOT_YOURS:
        return edgeplug_copy("not-yours");
    default: {
        edgeplug_string_t outcome = edgeplug_format("unavailable: %s", edgeplug_chars(why->val.unavailable));
        edgeplug_acks_error_free(why);
        return outcome;
    }
    }
}

bool plugin_start(edgeplug_string_t *error) {
    const char *greeting = config("greeting");
    edgeplug_info("start: %s", greeting == NULL ? "(none)" : greeting);
    if (config_is("refuse", "start")) {
        return edgeplug_fail(error, "refused to start");
    }
    return true;
}

void plugin_stop(void) {
    edgeplug_info("stop");
}

bool plugin_save_state(edgeplug_bytes_t *saved, edgeplug_string_t *error) {
    (void)error;
    edgeplug_string_t text = edgeplug_format("calls=%" PRId64, calls);
    *saved = edgeplug_bytes(text.ptr, text.len);
    edgeplug_string_free(&text);
    return true;
}

bool plugin_restore_state(const edgeplug_bytes_t *saved, edgeplug_string_t *error) {
    const char *text = (const char *)saved->ptr;
    if (config_is("refuse", "restore") || sscanf(text, "calls=%" SCNd64, &calls) != 1) {
        return edgeplug_fail(error, "cannot go on from %s", text);
    }
    edgeplug_info("restored %s", text);
    return true;
}

bool plugin_sample(edgeplug_samples_t *samples, edgeplug_string_t *error) {
    calls++;
    for (size_t i = 0; i < deferred_count; i++) {
        edgeplug_acks_error_t why;
        bool good = edgeplug_acks_done(deferred[i], "late", &why);
        edgeplug_string_t outcome = finish_outcome(good, &why);
        edgeplug_info("finish %s: %s", deferred[i], edgeplug_chars(outcome));
        edgeplug_string_free(&outcome);
        free(deferred[i]);
    }
    deferred_count = 0;
    if (config_is("bad", "sample")) {
        return edgeplug_fail(error, "no reading");
    }

    edgeplug_add_integer(edgeplug_samples_add(samples), "calls", calls);

    edgeplug_sample_t *child = edgeplug_samples_add(samples);
    edgeplug_sample_of(child, "child-1");
    edgeplug_sample_at(child, 1700000000, 123456789);
    edgeplug_add_boolean(child, "on", true);
    edgeplug_add_integer(child, "count", -7);
    edgeplug_add_number(child, "ratio", 0.1);
    edgeplug_add_text(child, "name", "Füße ☃ 𝄞");
    edgeplug_add_place(child, "place", 52.5, -13.25);
    edgeplug_value_t axes = edgeplug_object();
    edgeplug_object_add_number(&axes, "x", -0.5);
    edgeplug_object_add_integer(&axes, "n", 3);
    edgeplug_object_add_boolean(&axes, "ok", false);
    edgeplug_object_add_text(&axes, "unit", "g");
    edgeplug_add(child, "axes", axes);
    return true;
}

bool plugin_desired_changed(const edgeplug_change_t *change, edgeplug_string_t *error) {
    edgeplug_info("desired %" PRIu64 " %s %s", change->version, change->complete ? "complete" : "partial",
                  edgeplug_chars(change->desired));
    if (edgeplug_equals(change->desired, "{\"reject\":true}")) {
        return edgeplug_fail(error, "rejected version %" PRIu64, change->version);
    }
    return true;
}

void plugin_connection_changed(const edgeplug_connection_t *connection) {
    if (connection->tag == EDGEPLUG_CONNECTION_CONNECTED) {
        edgeplug_info("connected");
    } else {
        edgeplug_info("disconnected: %s", edgeplug_chars(connection->val.disconnected));
    }
}

bool plugin_update(const edgeplug_update_t *update, edgeplug_reply_t *reply, edgeplug_string_t *error) {
    (void)error;
    edgeplug_info("update %s for %s %s %s %" PRIu64 " %s", edgeplug_chars(update->id),
                  update->device.is_some ? edgeplug_chars(update->device.val) : "self", edgeplug_chars(update->name),
                  edgeplug_chars(update->version), update->size, edgeplug_chars(update->sha256));
    if (edgeplug_equals(update->name, "later.bin")) {
        *reply = edgeplug_deferred();
        return true;
    }
    uint32_t sum = 0;
    uint64_t length = 0;
    for (;;) {
        edgeplug_bytes_t piece;
        edgeplug_string_t why;
        if (!edgeplug_firmware_read(edgeplug_chars(update->id), length, 4096, &piece, &why)) {
            *reply = edgeplug_failed("%s", edgeplug_chars(why));
            edgeplug_string_free(&why);
            return true;
        }
        size_t count = piece.len;
        for (size_t i = 0; i < count; i++) {
            sum += piece.ptr[i];
        }
        length += count;
        edgeplug_bytes_free(&piece);
        if (count == 0) {
            *reply = edgeplug_done("sum %" PRIu32 " of %" PRIu64 " bytes", sum, length);
            return true;
        }
    }
}

bool plugin_transform(edgeplug_samples_t *samples, edgeplug_string_t *error) {
    for (size_t i = 0; i < samples->len; i++) {
        edgeplug_sample_t *sample = &samples->ptr[i];
        for (size_t j = 0; j < sample->values.len; j++) {
            edgeplug_tuple2_string_value_t *value = &sample->values.ptr[j];
            if (value->f1.tag == EDGEPLUG_VALUE_TEXT && edgeplug_equals(value->f1.val.text, "bad")) {
                return edgeplug_fail(error, "bad text in %s", edgeplug_chars(value->f0));
            }
        }
        edgeplug_add_boolean(sample, "mirrored", true);
    }
    return true;
}

// Commands. Each answers with its reply; `argument` is everything behind the verb and one space.

static edgeplug_reply_t echo(const char *argument) {
    return edgeplug_done("%s", argument);
}

static edgeplug_reply_t fail(const char *argument) {
    return edgeplug_failed("%s", argument);
}

static edgeplug_reply_t trap(const char *argument) {
    (void)argument;
    edgeplug_abort("deliberate");
}

static edgeplug_reply_t finish(const char *argument) {
    edgeplug_acks_error_t why;
    bool good = edgeplug_acks_failed(argument, "given up", &why);
    return done_with(finish_outcome(good, &why));
}

static edgeplug_reply_t progress(const char *argument) {
    char id[64];
    unsigned percent;
    int read = 0;
    if (sscanf(argument, "%63s %u %n", id, &percent, &read) != 2 || percent > 100) {
        return edgeplug_failed("not <id> <percent> <text>");
    }
    edgeplug_acks_progress(id, (uint8_t)percent, argument + read);
    return edgeplug_done("ok");
}

// Sends and frees the samples; the outcomes are the caller's.
static edgeplug_outcomes_t sent(edgeplug_samples_t *samples) {
    edgeplug_outcomes_t outcomes;
    edgeplug_telemetry_send(samples, &outcomes);
    edgeplug_samples_free(samples);
    return outcomes;
}

static edgeplug_reply_t outcomes(const char *argument) {
    (void)argument;
    edgeplug_samples_t samples = {NULL, 0};
    const char *names[] = {"a", "b", "c", "d"};
    for (int64_t i = 0; i < 4; i++) {
        edgeplug_add_integer(edgeplug_samples_add(&samples), names[i], i + 1);
    }
    edgeplug_outcomes_t all = sent(&samples);
    edgeplug_string_t text = {0};
    for (size_t i = 0; i < all.len; i++) {
        edgeplug_append(&text, "%s", i == 0 ? "" : ", ");
        switch (all.ptr[i].tag) {
        case EDGEPLUG_OUTCOME_ACCEPTED:
            edgeplug_append(&text, "accepted");
            break;
        case EDGEPLUG_OUTCOME_ACCEPTED_IN_MEMORY:
            edgeplug_append(&text, "accepted-in-memory");
            break;
        case EDGEPLUG_OUTCOME_HELD_BACK:
            edgeplug_append(&text, "held-back");
            break;
        default:
            edgeplug_append(&text, "rejected: %s", edgeplug_chars(all.ptr[i].val.rejected));
        }
    }
    edgeplug_outcomes_free(&all);
    return done_with(text);
}

static edgeplug_reply_t send(const char *argument) {
    edgeplug_samples_t samples = {NULL, 0};
    int64_t count = strtoll(argument, NULL, 10);
    for (int64_t i = 0; i < count; i++) {
        edgeplug_add_integer(edgeplug_samples_add(&samples), "n", i);
    }
    edgeplug_outcomes_t all = sent(&samples);
    size_t accepted = 0;
    for (size_t i = 0; i < all.len; i++) {
        accepted += edgeplug_outcome_is_accepted(&all.ptr[i]);
    }
    edgeplug_reply_t reply = edgeplug_done("%zu accepted, %zu not", accepted, all.len - accepted);
    edgeplug_outcomes_free(&all);
    return reply;
}

static const char *sent_integer(const char *name, int64_t value) {
    edgeplug_samples_t samples = {NULL, 0};
    edgeplug_add_integer(edgeplug_samples_add(&samples), name, value);
    edgeplug_outcomes_t all = sent(&samples);
    bool accepted = all.len == 1 && edgeplug_outcome_is_accepted(&all.ptr[0]);
    edgeplug_outcomes_free(&all);
    return accepted ? "ok" : "not accepted";
}

static edgeplug_reply_t integers(const char *argument) {
    (void)argument;
    const char *min = sent_integer("min", INT64_MIN);
    const char *max = sent_integer("max", INT64_MAX);
    const char *safe = sent_integer("safe", INT64_C(9007199254740991));
    return edgeplug_done("min %s, max %s, safe %s", min, max, safe);
}

static edgeplug_reply_t numbers(const char *argument) {
    (void)argument;
    edgeplug_samples_t samples = {NULL, 0};
    edgeplug_sample_t *sample = edgeplug_samples_add(&samples);
    edgeplug_add_number(sample, "nan", NAN);
    edgeplug_add_number(sample, "inf", INFINITY);
    edgeplug_add_number(sample, "neg", -INFINITY);
    edgeplug_add_number(sample, "zero", -0.0);
    edgeplug_add_number(sample, "tiny", 5e-324);
    edgeplug_add_number(sample, "big", 1.7976931348623157e308);
    edgeplug_outcomes_t all = sent(&samples);
    edgeplug_outcomes_free(&all);
    return edgeplug_done("ok");
}

// Frees the error.
static edgeplug_reply_t twin_failure(edgeplug_twin_error_t *why) {
    edgeplug_reply_t reply;
    if (why->tag == EDGEPLUG_TWIN_ERROR_UNAVAILABLE) {
        reply = edgeplug_failed("unavailable: %s", edgeplug_chars(why->val.unavailable));
    } else if (why->tag == EDGEPLUG_TWIN_ERROR_INVALID) {
        reply = edgeplug_failed("invalid: %s", edgeplug_chars(why->val.invalid));
    } else {
        reply = edgeplug_failed("refused: %u", (unsigned)why->val.refused);
    }
    edgeplug_twin_error_free(why);
    return reply;
}

static edgeplug_reply_t twin(const char *argument) {
    (void)argument;
    edgeplug_twin_document_t document;
    edgeplug_twin_error_t why;
    if (!edgeplug_twin_get(&document, &why)) {
        return twin_failure(&why);
    }
    edgeplug_reply_t reply = edgeplug_done("desired %s v%" PRIu64 ", reported %s v%" PRIu64,
                                           edgeplug_chars(document.desired), document.desired_version,
                                           edgeplug_chars(document.reported), document.reported_version);
    edgeplug_twin_document_free(&document);
    return reply;
}

static edgeplug_reply_t report(const char *argument) {
    uint64_t version;
    edgeplug_twin_error_t why;
    if (!edgeplug_twin_report(argument, &version, &why)) {
        return twin_failure(&why);
    }
    return edgeplug_done("version %" PRIu64, version);
}

// Frees the error.
static edgeplug_reply_t state_failure(edgeplug_state_error_t *why) {
    const char *name = why->tag == EDGEPLUG_STATE_ERROR_QUOTA ? "quota" : "unavailable";
    edgeplug_string_t text = edgeplug_state_error_text(why);
    edgeplug_reply_t reply = edgeplug_failed("%s: %s", name, edgeplug_chars(text));
    edgeplug_string_free(&text);
    return reply;
}

static edgeplug_reply_t state_set(const char *argument) {
    const char *space = strchr(argument, ' ');
    const char *text = space == NULL ? "" : space + 1;
    edgeplug_string_t key =
        edgeplug_format("%.*s", space == NULL ? (int)strlen(argument) : (int)(space - argument), argument);
    edgeplug_state_error_t why;
    bool good = edgeplug_state_set(edgeplug_chars(key), text, strlen(text), &why);
    edgeplug_string_free(&key);
    return good ? edgeplug_done("ok") : state_failure(&why);
}

static edgeplug_reply_t state_bytes(const char *argument) {
    uint8_t bytes[256];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)i;
    }
    edgeplug_state_error_t why;
    return edgeplug_state_set(argument, bytes, sizeof bytes, &why) ? edgeplug_done("ok") : state_failure(&why);
}

static edgeplug_reply_t state_got(const char *argument, bool hexadecimal) {
    edgeplug_option_bytes_t value;
    edgeplug_state_error_t why;
    if (!edgeplug_state_get(argument, &value, &why)) {
        return state_failure(&why);
    }
    edgeplug_string_t text = {0};
    if (!value.is_some) {
        edgeplug_append(&text, "(none)");
    } else if (hexadecimal) {
        for (size_t i = 0; i < value.val.len; i++) {
            edgeplug_append(&text, "%02x", value.val.ptr[i]);
        }
    } else {
        edgeplug_append(&text, "%.*s", (int)value.val.len, (const char *)value.val.ptr);
    }
    edgeplug_option_bytes_free(&value);
    return done_with(text);
}

static edgeplug_reply_t state_get(const char *argument) {
    return state_got(argument, false);
}

static edgeplug_reply_t state_hex(const char *argument) {
    return state_got(argument, true);
}

static edgeplug_reply_t state_delete(const char *argument) {
    edgeplug_state_error_t why;
    return edgeplug_state_delete(argument, &why) ? edgeplug_done("ok") : state_failure(&why);
}

// Frees the list.
static edgeplug_reply_t joined(edgeplug_strings_t *strings) {
    edgeplug_string_t text = {0};
    for (size_t i = 0; i < strings->len; i++) {
        edgeplug_append(&text, "%s%s", i == 0 ? "" : ",", edgeplug_chars(strings->ptr[i]));
    }
    edgeplug_strings_free(strings);
    return done_with(text);
}

static edgeplug_reply_t state_keys(const char *argument) {
    (void)argument;
    edgeplug_strings_t keys;
    edgeplug_state_error_t why;
    return edgeplug_state_keys(&keys, &why) ? joined(&keys) : state_failure(&why);
}

static edgeplug_reply_t config_one(const char *argument) {
    const char *value = config(argument);
    return edgeplug_done("%s", value == NULL ? "(none)" : value);
}

static edgeplug_reply_t config_all(const char *argument) {
    (void)argument;
    edgeplug_pairs_t all;
    edgeplug_config_all(&all);
    edgeplug_string_t text = {0};
    for (size_t i = 0; i < all.len; i++) {
        edgeplug_append(&text, "%s%s=%s", i == 0 ? "" : ";", edgeplug_chars(all.ptr[i].f0),
                        edgeplug_chars(all.ptr[i].f1));
    }
    edgeplug_pairs_free(&all);
    return done_with(text);
}

static edgeplug_reply_t device(const char *argument) {
    (void)argument;
    edgeplug_string_t id = edgeplug_device_unique_id();
    edgeplug_reply_t reply =
        edgeplug_done("%s, %s", edgeplug_chars(id), edgeplug_device_connected() ? "connected" : "disconnected");
    edgeplug_string_free(&id);
    return reply;
}

static edgeplug_reply_t template(const char *argument) {
    (void)argument;
    edgeplug_device_model_t model;
    if (!edgeplug_device_template(&model)) {
        return edgeplug_done("none");
    }
    edgeplug_string_t text = {0};
    edgeplug_append(&text, "every %" PRIu32 " s | %s", model.frequency_s, model.edge ? "edge" : "plain");
    for (size_t i = 0; i < model.attributes.len; i++) {
        const edgeplug_device_attribute_t *attribute = &model.attributes.ptr[i];
        edgeplug_append(&text, " | %s:%s:%s:%s", edgeplug_chars(attribute->name),
                        edgeplug_device_kind_name(attribute->kind), edgeplug_chars(attribute->tag),
                        edgeplug_chars(attribute->validity));
        for (size_t j = 0; j < attribute->members.len; j++) {
            const edgeplug_device_member_t *member = &attribute->members.ptr[j];
            edgeplug_append(&text, "%s%s:%s:%s", j == 0 ? "{" : ",", edgeplug_chars(member->name),
                            edgeplug_device_kind_name(member->kind), edgeplug_chars(member->validity));
        }
        edgeplug_append(&text, "%s", attribute->members.len > 0 ? "}" : "");
    }
    for (size_t i = 0; i < model.settings.len; i++) {
        const edgeplug_device_setting_t *setting = &model.settings.ptr[i];
        edgeplug_append(&text, " | set %s:%s:%s", edgeplug_chars(setting->name),
                        edgeplug_device_kind_name(setting->kind), edgeplug_chars(setting->validity));
    }
    for (size_t i = 0; i < model.children.len; i++) {
        const edgeplug_device_child_t *child = &model.children.ptr[i];
        edgeplug_append(&text, " | child %s:%s", edgeplug_chars(child->unique_id), edgeplug_chars(child->tag));
    }
    edgeplug_device_model_free(&model);
    return done_with(text);
}

// Frees the error.
static edgeplug_reply_t files_failure(edgeplug_files_error_t *why) {
    edgeplug_reply_t reply;
    switch (why->tag) {
    case EDGEPLUG_FILES_ERROR_DENIED:
        reply = edgeplug_failed("denied");
        break;
    case EDGEPLUG_FILES_ERROR_NOT_FOUND:
        reply = edgeplug_failed("not-found");
        break;
    case EDGEPLUG_FILES_ERROR_TOO_LARGE:
        reply = edgeplug_failed("too-large %" PRIu64, why->val.too_large);
        break;
    default:
        reply = edgeplug_failed("other: %s", edgeplug_chars(why->val.other));
    }
    edgeplug_files_error_free(why);
    return reply;
}

// Frees the content.
static edgeplug_reply_t content(edgeplug_bytes_t *bytes) {
    edgeplug_reply_t reply = edgeplug_done("%.*s", (int)bytes->len, bytes->len == 0 ? "" : (const char *)bytes->ptr);
    edgeplug_bytes_free(bytes);
    return reply;
}

static edgeplug_reply_t read_file(const char *argument) {
    edgeplug_bytes_t bytes;
    edgeplug_files_error_t why;
    return edgeplug_files_read(argument, &bytes, &why) ? content(&bytes) : files_failure(&why);
}

static edgeplug_reply_t read_at(const char *argument) {
    uint64_t offset;
    uint32_t length;
    int read = 0;
    if (sscanf(argument, "%" SCNu64 " %" SCNu32 " %n", &offset, &length, &read) != 2) {
        return edgeplug_failed("not <offset> <length> <path>");
    }
    edgeplug_bytes_t bytes;
    edgeplug_files_error_t why;
    bool good = edgeplug_files_read_at(argument + read, offset, length, &bytes, &why);
    return good ? content(&bytes) : files_failure(&why);
}

static edgeplug_reply_t find(const char *argument) {
    edgeplug_strings_t paths;
    edgeplug_files_error_t why;
    return edgeplug_files_find(argument, &paths, &why) ? joined(&paths) : files_failure(&why);
}

// Frees the error.
static const char *hardware_outcome(bool good, edgeplug_hardware_error_t *why) {
    static const char *const names[] = {"denied", "no-device", "timed-out", "too-much", "other"};
    if (good) {
        return "ok";
    }
    const char *name = names[why->tag];
    edgeplug_hardware_error_free(why);
    return name;
}

static edgeplug_reply_t hardware(const char *argument) {
    (void)argument;
    const uint8_t bytes[] = {1, 2};
    edgeplug_hardware_error_t why;
    edgeplug_bytes_list_t answers = {NULL, 0};

    edgeplug_i2c_operation_t i2c_operations[] = {edgeplug_i2c_write(bytes, 2), edgeplug_i2c_read(1)};
    bool good = edgeplug_i2c_transaction("bus", 0x40, i2c_operations, 2, &answers, &why);
    edgeplug_bytes_list_free(&answers);
    const char *i2c = hardware_outcome(good, &why);

    answers = (edgeplug_bytes_list_t){NULL, 0};
    edgeplug_spi_operation_t spi_operations[] = {edgeplug_spi_transfer(bytes, 1)};
    good = edgeplug_spi_transaction("device", spi_operations, 1, &answers, &why);
    edgeplug_bytes_list_free(&answers);
    const char *spi = hardware_outcome(good, &why);

    bool active;
    good = edgeplug_gpio_read("line", &active, &why);
    const char *gpio = hardware_outcome(good, &why);

    good = edgeplug_serial_write("port", "A", 1, &why);
    const char *serial = hardware_outcome(good, &why);
    return edgeplug_done("i2c %s, spi %s, gpio %s, serial %s", i2c, spi, gpio, serial);
}

static edgeplug_reply_t switched(bool good, edgeplug_string_t *error) {
    if (good) {
        return edgeplug_done("ok");
    }
    edgeplug_reply_t reply = edgeplug_failed("%s", edgeplug_chars(*error));
    edgeplug_string_free(error);
    return reply;
}

static edgeplug_reply_t disconnect(const char *argument) {
    (void)argument;
    edgeplug_string_t error;
    bool good = edgeplug_device_disconnect(&error);
    return switched(good, &error);
}

static edgeplug_reply_t reconnect(const char *argument) {
    (void)argument;
    edgeplug_string_t error;
    bool good = edgeplug_device_reconnect(&error);
    return switched(good, &error);
}

static edgeplug_reply_t log_all(const char *argument) {
    (void)argument;
    edgeplug_trace("trace ☃");
    edgeplug_debug("debug ☃");
    edgeplug_info("info ☃");
    edgeplug_warn("warn ☃");
    edgeplug_error("error ☃");
    return edgeplug_done("ok");
}

static edgeplug_reply_t print(const char *argument) {
    (void)argument;
    printf("to standard output\n");
    fprintf(stderr, "to standard error\n");
    return edgeplug_done("ok");
}

static const struct {
    const char *verb;
    edgeplug_reply_t (*answer)(const char *argument);
} COMMANDS[] = {
    {"echo", echo},
    {"fail", fail},
    {"trap", trap},
    {"finish", finish},
    {"progress", progress},
    {"outcomes", outcomes},
    {"send", send},
    {"integers", integers},
    {"numbers", numbers},
    {"twin", twin},
    {"report", report},
    {"state-set", state_set},
    {"state-bytes", state_bytes},
    {"state-get", state_get},
    {"state-hex", state_hex},
    {"state-delete", state_delete},
    {"state-keys", state_keys},
    {"config", config_one},
    {"config-all", config_all},
    {"device", device},
    {"template", template},
    {"read", read_file},
    {"read-at", read_at},
    {"find", find},
    {"hardware", hardware},
    {"disconnect", disconnect},
    {"reconnect", reconnect},
    {"log", log_all},
    {"print", print},
};

bool plugin_handle(const edgeplug_command_t *command, edgeplug_reply_t *reply, edgeplug_string_t *error) {
    const char *text = edgeplug_chars(command->text);
    if (strncmp(text, "whoami", 6) == 0) {
        *reply = edgeplug_done("%s", command->device.is_some ? edgeplug_chars(command->device.val) : "self");
        return true;
    }
    size_t verb = strcspn(text, " ");
    const char *argument = text[verb] == ' ' ? text + verb + 1 : "";
    if (verb == strlen("error") && strncmp(text, "error", verb) == 0) {
        return edgeplug_fail(error, "%s", argument);
    }
    if (verb == strlen("defer") && strncmp(text, "defer", verb) == 0 && deferred_count < DEFERRED_MAX) {
        deferred[deferred_count++] = strcpy(edgeplug_allocate(command->id.len + 1), edgeplug_chars(command->id));
        *reply = edgeplug_deferred();
        return true;
    }
    for (size_t i = 0; i < sizeof COMMANDS / sizeof COMMANDS[0]; i++) {
        if (strlen(COMMANDS[i].verb) == verb && strncmp(text, COMMANDS[i].verb, verb) == 0) {
            *reply = COMMANDS[i].answer(argument);
            return true;
        }
    }
    *reply = edgeplug_failed("no command %.*s", (int)verb, text);
    return true;
}
