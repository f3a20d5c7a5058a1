// The SDK's functions against the host that testing/ plays. The sanitizers judge who owns what.
#include "edgeplug_hardware.h"
#include "testing/edgeplug_testing.h"

#undef NDEBUG
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern void *cabi_realloc(void *memory, size_t size_before, size_t align, size_t size);

// What the plugin of these tests does in a call.
static bool (*sampled)(edgeplug_samples_t *samples), answers;

bool plugin_sample(edgeplug_samples_t *samples, edgeplug_string_t *error) {
    return sampled(samples) || edgeplug_fail(error, "no");
}

bool plugin_transform(edgeplug_samples_t *samples, edgeplug_string_t *error) {
    return sampled(samples) || edgeplug_fail(error, "no");
}

bool plugin_handle(const edgeplug_command_t *command, edgeplug_reply_t *reply, edgeplug_string_t *error) {
    (void)command;
    *reply = edgeplug_done("moved");
    edgeplug_fail(error, "stuck");
    return answers;
}

bool plugin_save_state(edgeplug_bytes_t *saved, edgeplug_string_t *error) {
    *saved = edgeplug_bytes("half", 4);
    edgeplug_fail(error, "stuck");
    return answers;
}

static void what_the_host_hands_over_ends_with_a_nul(void) {
    for (size_t size = 0; size < 20; size++) {
        uint8_t *room = cabi_realloc(NULL, 0, 1, size);
        memset(room, 'x', size);
        assert(room[size] == 0);
        if (size > 0) {
            room = cabi_realloc(room, size, 1, size + 5);
            assert(room[size + 5] == 0 && room[0] == 'x');
            free(room);
        }
    }
    // An empty list has no memory, so that it can be told from one that was emptied.
    assert(cabi_realloc(NULL, 0, 8, 0) == NULL);
    void *aligned = cabi_realloc(NULL, 0, 8, 24);
    assert((uintptr_t)aligned % 8 == 0);
    free(aligned);
}

static void strings_are_made_and_compared(void) {
    edgeplug_string_t empty = edgeplug_format("%s", "");
    assert(empty.len == 0 && strcmp(edgeplug_chars(empty), "") == 0 && edgeplug_equals(empty, ""));
    edgeplug_string_free(&empty);

    edgeplug_string_t text = {0};
    edgeplug_append(&text, "%s", "");
    edgeplug_append(&text, "%d ", 7);
    edgeplug_append(&text, "%s", "Füße ☃");
    assert(strcmp(edgeplug_chars(text), "7 Füße ☃") == 0 && edgeplug_equals(text, "7 Füße ☃"));
    assert(!edgeplug_equals(text, "7 Füße") && !edgeplug_equals(text, "7 Füße ☃ "));
    edgeplug_string_free(&text);

    // Freed twice is fine: it is empty then.
    edgeplug_string_t copy = edgeplug_copy("once");
    edgeplug_string_free(&copy);
    edgeplug_string_free(&copy);
    assert(!edgeplug_fail(NULL, "nobody wants to know"));
}

static void what_is_not_utf8_is_repaired(void) {
    static const struct {
        const char *text, *repaired;
    } cases[] = {
        {"", ""},
        {"Füße ☃ 𝄞 \x7f", "Füße ☃ 𝄞 \x7f"},
        {"\xed\x9f\xbf \xee\x80\x80 \xf4\x8f\xbf\xbf", "\xed\x9f\xbf \xee\x80\x80 \xf4\x8f\xbf\xbf"},
        {"21 \xb0" "C", "21 ?C"},
        {"cut \xe2\x98", "cut ??"},
        {"\xc0\x80 \xe0\x80\x80 \xf0\x80\x80\x80", "?? ??? ????"},
        {"\xed\xa0\x80 \xf4\x90\x80\x80 \xff", "??? ???? ?"},
        {"\xe2\x98\xc3\xbc", "??ü"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        edgeplug_string_t copy = edgeplug_copy(cases[i].text), made = edgeplug_format("%s", cases[i].text);
        assert(edgeplug_equals(copy, cases[i].repaired) && edgeplug_equals(made, cases[i].repaired));
        edgeplug_string_free(&copy);
        edgeplug_string_free(&made);
    }
    edgeplug_log(EDGEPLUG_LOG_LEVEL_INFO, "21 \xb0");
    assert(edgeplug_equals(edgeplug_testing.log, "info 21 ?\n"));
}

static void a_sample_is_built(void) {
    edgeplug_samples_t samples = {0};
    for (int64_t i = 0; i < 100; i++) {
        edgeplug_add_integer(edgeplug_samples_add(&samples), "i", i);
    }
    edgeplug_sample_t *sample = edgeplug_samples_add(&samples);
    edgeplug_sample_of(sample, "wrong");
    edgeplug_sample_of(sample, "child-1");
    edgeplug_sample_at(sample, -1, 999999999);
    edgeplug_add_boolean(sample, "on", true);
    edgeplug_add_number(sample, "nan", NAN);
    edgeplug_add_text(sample, "text", "☃");
    edgeplug_add_place(sample, "place", 52.5, -13.25);
    edgeplug_value_t object = edgeplug_object();
    for (int64_t i = 0; i < 20; i++) {
        edgeplug_object_add_integer(&object, "n", i);
    }
    edgeplug_object_add_text(&object, "unit", "g");
    edgeplug_add(sample, "object", object);

    assert(samples.len == 101 && samples.ptr[99].values.ptr[0].f1.val.integer == 99);
    assert(sample->device.is_some && edgeplug_equals(sample->device.val, "child-1"));
    assert(sample->time.is_some && sample->time.val.seconds == -1 && sample->time.val.nanoseconds == 999999999);
    assert(sample->values.len == 5 && edgeplug_testing_value(sample, "on")->val.boolean);
    assert(edgeplug_testing_value(sample, "object")->val.object.len == 21);
    assert(edgeplug_testing_value(sample, "missing") == NULL);
    edgeplug_samples_free(&samples);
}

// What a list from the host holds is exactly as much as it needs.
static void samples_of_the_host_can_be_added_to(void) {
    for (size_t count = 1; count < 10; count++) {
        edgeplug_sample_t sample = {0};
        sample.values.len = count;
        sample.values.ptr = cabi_realloc(NULL, 0, 8, count * sizeof *sample.values.ptr);
        for (size_t i = 0; i < count; i++) {
            sample.values.ptr[i].f0 = edgeplug_copy("a");
            sample.values.ptr[i].f1 = (edgeplug_value_t){.tag = EDGEPLUG_VALUE_INTEGER, .val.integer = (int64_t)i};
        }
        edgeplug_add_boolean(&sample, "mirrored", true);
        assert(sample.values.len == count + 1 && sample.values.ptr[count - 1].f1.val.integer == (int64_t)count - 1);
        edgeplug_sample_free(&sample);
    }
}

static bool all_at_once(edgeplug_samples_t *samples) {
    for (size_t i = 0; i < samples->len; i++) {
        edgeplug_sample_free(&samples->ptr[i]);
    }
    samples->len = 0;
    return true;
}

static bool one_by_one(edgeplug_samples_t *samples) {
    while (samples->len > 0) {
        edgeplug_samples_remove(samples, samples->len / 2);
    }
    return true;
}

static bool by_the_list(edgeplug_samples_t *samples) {
    edgeplug_samples_free(samples);
    return samples->len == 0;
}

static bool and_gives_up(edgeplug_samples_t *samples) {
    all_at_once(samples);
    return false;
}

static bool and_adds_one(edgeplug_samples_t *samples) {
    all_at_once(samples);
    edgeplug_add_integer(edgeplug_samples_add(samples), "a", 1);
    return true;
}

static edgeplug_samples_t given(size_t count) {
    edgeplug_samples_t samples = {0};
    for (size_t i = 0; i < count; i++) {
        edgeplug_add_integer(edgeplug_samples_add(&samples), "i", (int64_t)i);
    }
    return samples;
}

static void an_emptied_list_leaves_nothing_behind(void) {
    bool (*const ways[])(edgeplug_samples_t *) = {all_at_once, one_by_one, by_the_list, and_gives_up, and_adds_one};
    for (size_t way = 0; way < sizeof ways / sizeof ways[0]; way++) {
        sampled = ways[way];
        for (size_t count = 0; count < 20; count++) {
            edgeplug_samples_t samples = given(count);
            exports_transform_list_sample_t given_list = {samples.ptr, samples.len}, made = {0};
            edgeplug_string_t error = {0};
            assert(exports_transform_process(&given_list, &made, &error) == (sampled != and_gives_up));
            // As the host does afterwards: a list without elements has no memory.
            assert(made.len > 0 || made.ptr == NULL);
            exports_transform_list_sample_free(&made);
            edgeplug_string_free(&error);
        }
        exports_sensor_list_reading_t readings = {0};
        edgeplug_string_t error = {0};
        assert(exports_sensor_sample(&readings, &error) == (sampled != and_gives_up));
        exports_sensor_list_reading_free(&readings);
        edgeplug_string_free(&error);
    }
}

static void a_sample_is_taken_out_of_a_list(void) {
    edgeplug_samples_t samples = given(3);
    edgeplug_samples_remove(&samples, 1);
    assert(samples.len == 2 && samples.ptr[1].values.ptr[0].f1.val.integer == 2);
    edgeplug_samples_remove(&samples, 7);
    edgeplug_samples_free(&samples);
    assert(samples.len == 0 && samples.ptr == NULL);
}

static void what_is_not_told_is_freed(void) {
    for (int i = 0; i < 2; i++) {
        answers = i == 1;
        edgeplug_command_t command = {.text = edgeplug_copy("go")};
        edgeplug_reply_t reply;
        edgeplug_bytes_t saved;
        edgeplug_string_t error;
        assert(exports_commands_handle(&command, &reply, &error) == answers);
        assert(answers || edgeplug_equals(error, "stuck"));
        answers ? edgeplug_reply_free(&reply) : edgeplug_string_free(&error);
        assert(exports_lifecycle_save_state(&saved, &error) == answers);
        answers ? edgeplug_bytes_free(&saved) : edgeplug_string_free(&error);
    }
}

static void a_command_is_a_verb_and_an_argument(void) {
    static const struct {
        const char *text, *verb, *argument;
    } cases[] = {
        {"set-led green", "set-led", "green"}, {"  go   a  b ", "go", "a  b"}, {"go", "go", ""},
        {"go\t\n", "go", ""},                  {"", "", ""},                   {"   ", "", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        edgeplug_command_t command = {.text = edgeplug_view(cases[i].text)};
        edgeplug_string_t argument;
        assert(edgeplug_command_is(&command, cases[i].verb, &argument));
        assert(edgeplug_equals(argument, cases[i].argument));
        assert(!edgeplug_command_is(&command, "other", NULL));
    }
    edgeplug_command_t longer = {.text = edgeplug_view("set-ledger on")};
    assert(!edgeplug_command_is(&longer, "set-led", NULL));
}

static void replies_hold_their_words(void) {
    edgeplug_reply_t reply = edgeplug_failed("no command %s", "dance");
    assert(reply.tag == EDGEPLUG_REPLY_FAILED && edgeplug_equals(reply.val.failed, "no command dance"));
    edgeplug_reply_free(&reply);
    reply = edgeplug_deferred();
    assert(reply.tag == EDGEPLUG_REPLY_DEFERRED);
    edgeplug_reply_free(&reply);

    edgeplug_acks_error_t why;
    assert(edgeplug_acks_done("c1", "closed", &why));
    assert(!edgeplug_acks_failed("c1", "stuck", &why) && why.tag == EDGEPLUG_ACKS_ERROR_UNKNOWN);
    edgeplug_string_t words = edgeplug_acks_error_text(&why);
    assert(strstr(edgeplug_chars(words), "nothing under way") != NULL);
    edgeplug_string_free(&words);
    assert(!edgeplug_acks_failed("c1", "stuck", NULL));
    edgeplug_acks_progress("u1", 50, "half");
    assert(strcmp(edgeplug_testing_get(&edgeplug_testing.ends, "c1"), "done closed") == 0);
    assert(edgeplug_equals(edgeplug_testing.progress, "u1 50 half\n"));
}

static void messages_are_repaired(void) {
    edgeplug_acks_error_t why;
    assert(edgeplug_acks_done("c1", "21 \xb0", &why) && edgeplug_acks_failed("c2", "22 \xb0", &why));
    edgeplug_acks_progress("u1", 50, "23 \xb0");
    uint64_t version;
    edgeplug_twin_error_t error;
    assert(edgeplug_twin_report("{\"a\":\"\xb0\"}", &version, &error));
    assert(strcmp(edgeplug_testing_get(&edgeplug_testing.ends, "c1"), "done 21 ?") == 0);
    assert(strcmp(edgeplug_testing_get(&edgeplug_testing.ends, "c2"), "failed 22 ?") == 0);
    assert(edgeplug_equals(edgeplug_testing.progress, "u1 50 23 ?\n"));
    assert(edgeplug_equals(edgeplug_testing.reports, "{\"a\":\"?\"}\n"));
}

static void configuration_is_text_and_numbers(void) {
    edgeplug_testing_put(&edgeplug_testing.config, "name", "north");
    edgeplug_testing_put(&edgeplug_testing.config, "factor", " 2.5 ");
    edgeplug_testing_put(&edgeplug_testing.config, "empty", "");
    edgeplug_string_t value;
    assert(edgeplug_config_get("name", &value) && edgeplug_equals(value, "north"));
    edgeplug_string_free(&value);
    assert(!edgeplug_config_get("other", &value) && edgeplug_equals(value, ""));

    double number;
    edgeplug_string_t error;
    assert(edgeplug_config_number("factor", 1, &number, &error) && number == 2.5);
    assert(edgeplug_config_number("other", 1, &number, &error) && number == 1);
    assert(!edgeplug_config_number("name", 1, &number, &error));
    assert(edgeplug_equals(error, "config key `name` is \"north\", which is no number"));
    edgeplug_string_free(&error);
    assert(!edgeplug_config_number("empty", 1, &number, NULL));
    const char *const infinite[] = {"nan", "inf", "-infinity", "1e999"};
    for (size_t i = 0; i < sizeof infinite / sizeof infinite[0]; i++) {
        edgeplug_testing_put(&edgeplug_testing.config, "empty", infinite[i]);
        assert(!edgeplug_config_number("empty", 1, &number, NULL));
    }
    edgeplug_testing_put(&edgeplug_testing.config, "empty", "");

    edgeplug_pairs_t all;
    edgeplug_config_all(&all);
    assert(all.len == 3 && edgeplug_equals(all.ptr[0].f0, "empty") && edgeplug_equals(all.ptr[2].f1, "north"));
    edgeplug_pairs_free(&all);
}

static void files_are_read_and_found(void) {
    edgeplug_testing_put(&edgeplug_testing.files, "/sys/a/temp", "42000\n");
    edgeplug_testing_put(&edgeplug_testing.files, "/sys/b/temp", "");
    edgeplug_bytes_t content;
    edgeplug_files_error_t why;
    assert(edgeplug_files_read("/sys/a/temp", &content, &why) && atoi((char *)content.ptr) == 42000);
    edgeplug_bytes_free(&content);
    edgeplug_string_t text;
    assert(edgeplug_files_read_text("/sys/a/temp", &text, &why) && edgeplug_equals(text, "42000\n"));
    edgeplug_string_free(&text);
    assert(!edgeplug_files_read_text("/sys/c/temp", &text, NULL));
    assert(edgeplug_files_read("/sys/b/temp", &content, &why) && content.len == 0);
    edgeplug_bytes_free(&content);
    assert(edgeplug_files_read_at("/sys/a/temp", 2, 3, &content, &why) && strcmp((char *)content.ptr, "000") == 0);
    edgeplug_bytes_free(&content);
    assert(edgeplug_files_read_at("/sys/a/temp", 100, 3, &content, &why) && content.len == 0);
    assert(!edgeplug_files_read_at("/sys/a/temp", 0, (1 << 20) + 1, &content, &why));
    assert(why.tag == EDGEPLUG_FILES_ERROR_TOO_LARGE && why.val.too_large == 1 << 20);
    assert(!edgeplug_files_read("/sys/c/temp", &content, &why) && why.tag == EDGEPLUG_FILES_ERROR_NOT_FOUND);
    edgeplug_string_t words = edgeplug_files_error_text(&why);
    assert(edgeplug_equals(words, "there is no such file"));
    edgeplug_string_free(&words);

    edgeplug_strings_t paths;
    assert(edgeplug_files_find("/sys/*/temp", &paths, &why) && paths.len == 2);
    assert(strcmp(edgeplug_chars(paths.ptr[0]), "/sys/a/temp") == 0);
    edgeplug_strings_free(&paths);
    assert(edgeplug_files_find("/sys/*", &paths, &why) && paths.len == 0);
}

static void errors_have_words(void) {
    edgeplug_files_error_t large = {.tag = EDGEPLUG_FILES_ERROR_TOO_LARGE, .val.too_large = UINT64_MAX};
    edgeplug_string_t words = edgeplug_files_error_text(&large);
    assert(strcmp(edgeplug_chars(words), "the file is larger than 18446744073709551615 bytes") == 0);
    edgeplug_string_free(&words);
    edgeplug_twin_error_t refused = {.tag = EDGEPLUG_TWIN_ERROR_REFUSED, .val.refused = 0};
    words = edgeplug_twin_error_text(&refused);
    assert(edgeplug_equals(words, "the hub refused it with status 0"));
    edgeplug_string_free(&words);
}

static void state_is_kept_within_its_limits(void) {
    edgeplug_option_bytes_t value;
    edgeplug_state_error_t why;
    assert(edgeplug_state_set("key", "\0\1\2", 3, &why));
    assert(edgeplug_state_get("key", &value, &why) && value.is_some && value.val.len == 3 && value.val.ptr[2] == 2);
    edgeplug_option_bytes_free(&value);
    assert(edgeplug_state_get("other", &value, &why) && !value.is_some);
    edgeplug_strings_t keys;
    assert(edgeplug_state_keys(&keys, &why) && keys.len == 1 && edgeplug_equals(keys.ptr[0], "key"));
    edgeplug_strings_free(&keys);
    assert(edgeplug_state_delete("key", &why) && edgeplug_state_delete("key", &why));
    assert(!edgeplug_state_set("", "", 0, NULL));
    assert(!edgeplug_state_set("", "", 0, &why) && why.tag == EDGEPLUG_STATE_ERROR_QUOTA);
    edgeplug_string_t words = edgeplug_state_error_text(&why);
    assert(words.len > 0);
    edgeplug_string_free(&words);
}

static void what_was_sent_is_told(void) {
    edgeplug_samples_t samples = {0};
    edgeplug_add_text(edgeplug_samples_add(&samples), "a", "☃");
    edgeplug_value_t object = edgeplug_object();
    edgeplug_object_add_text(&object, "unit", "g");
    edgeplug_add(&samples.ptr[0], "o", object);
    edgeplug_outcomes_t outcomes;
    edgeplug_telemetry_send(&samples, &outcomes);
    assert(outcomes.len == 1 && edgeplug_outcome_is_accepted(&outcomes.ptr[0]));
    edgeplug_outcomes_free(&outcomes);
    edgeplug_testing.outcome = EDGEPLUG_OUTCOME_REJECTED;
    edgeplug_telemetry_send(&samples, &outcomes);
    assert(!edgeplug_outcome_is_accepted(&outcomes.ptr[0]) && outcomes.ptr[0].val.rejected.len > 0);
    edgeplug_outcomes_free(&outcomes);
    edgeplug_samples_free(&samples);
    assert(edgeplug_testing.sent.len == 1);
}

static void device_twin_and_firmware_answer(void) {
    edgeplug_string_t id = edgeplug_device_unique_id();
    assert(edgeplug_equals(id, "test-device") && edgeplug_device_connected());
    edgeplug_string_free(&id);
    edgeplug_device_model_t model;
    assert(!edgeplug_device_template(&model));
    assert(!edgeplug_device_disconnect(NULL));
    edgeplug_testing.may_disconnect = true;
    assert(edgeplug_device_disconnect(NULL) && !edgeplug_device_connected());

    edgeplug_twin_document_t document;
    edgeplug_twin_error_t why;
    assert(edgeplug_twin_get(&document, &why) && edgeplug_equals(document.desired, "{}"));
    edgeplug_twin_document_free(&document);
    assert(edgeplug_twin_report("{\"on\":true}", NULL, &why));
    assert(edgeplug_equals(edgeplug_testing.reports, "{\"on\":true}\n"));
    edgeplug_testing.twin_error = "offline";
    assert(!edgeplug_twin_get(&document, &why));
    edgeplug_string_t words = edgeplug_twin_error_text(&why);
    assert(edgeplug_equals(words, "offline"));
    edgeplug_string_free(&words);

    edgeplug_bytes_t content;
    edgeplug_string_t error;
    assert(!edgeplug_firmware_read("u1", 0, 10, &content, &error));
    edgeplug_string_free(&error);
    edgeplug_testing_put(&edgeplug_testing.firmware, "u1", "EPFW");
    assert(edgeplug_firmware_read("u1", 2, 10, &content, NULL) && strcmp((char *)content.ptr, "FW") == 0);
    edgeplug_bytes_free(&content);
}

static void hardware_is_denied_in_words(void) {
    edgeplug_i2c_operation_t operations[] = {edgeplug_i2c_write("\1", 1), edgeplug_i2c_read(6)};
    edgeplug_bytes_list_t answers;
    edgeplug_hardware_error_t why;
    assert(!edgeplug_i2c_transaction("bus", 0x40, operations, 2, &answers, &why));
    edgeplug_string_t words = edgeplug_hardware_error_text(&why);
    assert(edgeplug_equals(words, "the test has no hardware"));
    edgeplug_string_free(&words);
    assert(!edgeplug_serial_write("port", "A", 1, NULL));
}

static void messages_are_logged_at_their_level(void) {
    edgeplug_trace("%d", 1);
    edgeplug_warn("%s", "☃");
    edgeplug_log(EDGEPLUG_LOG_LEVEL_ERROR, "50 %");
    assert(edgeplug_equals(edgeplug_testing.log, "trace 1\nwarn ☃\nerror 50 %\n"));
}

static const struct {
    const char *name;
    void (*run)(void);
} TESTS[] = {
#define TEST(name) {#name, name}
    TEST(what_the_host_hands_over_ends_with_a_nul),
    TEST(strings_are_made_and_compared),
    TEST(what_is_not_utf8_is_repaired),
    TEST(a_sample_is_built),
    TEST(samples_of_the_host_can_be_added_to),
    TEST(an_emptied_list_leaves_nothing_behind),
    TEST(a_sample_is_taken_out_of_a_list),
    TEST(what_is_not_told_is_freed),
    TEST(a_command_is_a_verb_and_an_argument),
    TEST(replies_hold_their_words),
    TEST(messages_are_repaired),
    TEST(configuration_is_text_and_numbers),
    TEST(files_are_read_and_found),
    TEST(errors_have_words),
    TEST(state_is_kept_within_its_limits),
    TEST(what_was_sent_is_told),
    TEST(device_twin_and_firmware_answer),
    TEST(hardware_is_denied_in_words),
    TEST(messages_are_logged_at_their_level),
};

int main(void) {
    size_t count = sizeof TESTS / sizeof TESTS[0];
    for (size_t i = 0; i < count; i++) {
        edgeplug_testing_reset();
        TESTS[i].run();
        printf("%s ok\n", TESTS[i].name);
    }
    edgeplug_testing_reset();
    printf("%zu passed\n", count);
    return 0;
}
