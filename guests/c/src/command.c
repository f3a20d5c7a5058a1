// Commands, their replies and their ends.
#include "internal.h"

static bool is_space(uint8_t byte) {
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

bool edgeplug_command_is(const edgeplug_command_t *command, const char *verb, edgeplug_string_t *argument) {
    edgeplug_string_t rest = command->text;
    while (rest.len > 0 && is_space(rest.ptr[0])) {
        rest.ptr++;
        rest.len--;
    }
    size_t length = 0;
    while (length < rest.len && !is_space(rest.ptr[length])) {
        length++;
    }
    if (!edgeplug_equals((edgeplug_string_t){rest.ptr, length}, verb)) {
        return false;
    }
    rest.ptr += length;
    rest.len -= length;
    while (rest.len > 0 && is_space(rest.ptr[0])) {
        rest.ptr++;
        rest.len--;
    }
    while (rest.len > 0 && is_space(rest.ptr[rest.len - 1])) {
        rest.len--;
    }
    if (argument != NULL) {
        *argument = rest;
    }
    return true;
}

edgeplug_reply_t edgeplug_done(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    edgeplug_reply_t reply = {.tag = EDGEPLUG_REPLY_DONE, .val.done = edgeplug_formatted(format, arguments)};
    va_end(arguments);
    return reply;
}

edgeplug_reply_t edgeplug_failed(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    edgeplug_reply_t reply = {.tag = EDGEPLUG_REPLY_FAILED, .val.failed = edgeplug_formatted(format, arguments)};
    va_end(arguments);
    return reply;
}

edgeplug_reply_t edgeplug_deferred(void) {
    return (edgeplug_reply_t){.tag = EDGEPLUG_REPLY_DEFERRED};
}

static bool finished(const char *id, edgeplug_acks_ending_t ending, edgeplug_acks_error_t *why) {
    edgeplug_string_t name = edgeplug_view(id);
    edgeplug_acks_error_t error;
    if (wit_acks_finish(&name, &ending, &error)) {
        return true;
    }
    if (why != NULL) {
        *why = error;
    } else {
        edgeplug_acks_error_free(&error);
    }
    return false;
}

bool edgeplug_acks_done(const char *id, const char *message, edgeplug_acks_error_t *why) {
    edgeplug_string_t copy = {0}, words = edgeplug_repaired(message, &copy);
    bool taken = finished(id, (edgeplug_acks_ending_t){.tag = EDGEPLUG_ENDING_DONE, .val.done = words}, why);
    edgeplug_string_free(&copy);
    return taken;
}

bool edgeplug_acks_failed(const char *id, const char *message, edgeplug_acks_error_t *why) {
    edgeplug_string_t copy = {0}, words = edgeplug_repaired(message, &copy);
    bool taken = finished(id, (edgeplug_acks_ending_t){.tag = EDGEPLUG_ENDING_FAILED, .val.failed = words}, why);
    edgeplug_string_free(&copy);
    return taken;
}

void edgeplug_acks_progress(const char *id, uint8_t percent, const char *message) {
    edgeplug_string_t name = edgeplug_view(id);
    edgeplug_string_t copy = {0}, words = edgeplug_repaired(message, &copy);
    wit_acks_progress(&name, percent, &words);
    edgeplug_string_free(&copy);
}

edgeplug_string_t edgeplug_acks_error_text(edgeplug_acks_error_t *why) {
    switch (why->tag) {
    case EDGEPLUG_ACKS_ERROR_UNKNOWN:
        return edgeplug_copy("nothing under way has this id, or it has its end already");
    case EDGEPLUG_ACKS_ERROR_NOT_YOURS:
        return edgeplug_copy("it belongs to another plugin");
    default:
        return why->val.unavailable;
    }
}
