// The plugin as the daemon would call it, with a host that is played.
#include "testing/edgeplug_testing.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static void start(const char *loadavg) {
    edgeplug_testing_reset();
    edgeplug_testing_put(&edgeplug_testing.config, "factor", "2");
    edgeplug_testing_put(&edgeplug_testing.files, "/proc/loadavg", loadavg);
    edgeplug_string_t error = {0};
    assert(plugin_start(&error));
}

static void the_load_is_read_and_multiplied(void) {
    start("0.52 0.58 0.59 1/389 12345\n");
    edgeplug_samples_t samples = {0};
    edgeplug_string_t error = {0};
    assert(plugin_sample(&samples, &error) && samples.len == 1);
    const edgeplug_value_t *load = edgeplug_testing_value(&samples.ptr[0], "load");
    assert(load && load->tag == EDGEPLUG_VALUE_NUMBER && load->val.number == 1.04);
    edgeplug_samples_free(&samples);
}

static void what_is_no_number_is_an_error(void) {
    start("busy\n");
    edgeplug_samples_t samples = {0};
    edgeplug_string_t error = {0};
    assert(!plugin_sample(&samples, &error) && strstr(edgeplug_chars(error), "busy"));
    edgeplug_string_free(&error);
    edgeplug_samples_free(&samples);
}

static void ping_is_answered(void) {
    start("0 0 0");
    edgeplug_command_t command = {.id = edgeplug_view("1"), .text = edgeplug_view("ping")};
    edgeplug_reply_t reply;
    edgeplug_string_t error = {0};
    assert(plugin_handle(&command, &reply, &error) && reply.tag == EDGEPLUG_REPLY_DONE);
    assert(edgeplug_equals(reply.val.done, "pong"));
    edgeplug_reply_free(&reply);
    command.text = edgeplug_view("dance");
    assert(plugin_handle(&command, &reply, &error) && reply.tag == EDGEPLUG_REPLY_FAILED);
    edgeplug_reply_free(&reply);
}

int main(void) {
    the_load_is_read_and_multiplied();
    what_is_no_number_is_an_error();
    ping_is_answered();
    edgeplug_testing_reset();
    puts("3 tests passed");
}
