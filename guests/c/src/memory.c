// Memory and strings. Every string that is made here, or comes from the host, has a NUL behind its last byte.
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What no bytes point to: never freed, because freeing looks at the length.
static uint8_t nothing[1];

_Noreturn static void no_memory(void) {
    edgeplug_log(EDGEPLUG_LOG_LEVEL_ERROR, "there is no memory left");
    abort();
}

void *edgeplug_reallocate(void *memory, size_t size) {
    void *grown = realloc(memory, size == 0 ? 1 : size);
    if (grown == NULL) {
        no_memory();
    }
    return grown;
}

void *edgeplug_allocate(size_t size) {
    return edgeplug_reallocate(NULL, size);
}

// The host asks here for room for everything it hands over. Texts and bytes, which alone have no alignment, get a byte
// more, so that they end with a NUL. An empty list gets none: what a list points to is always malloc's.
extern void *cabi_realloc(void *memory, size_t size_before, size_t align, size_t size);

#ifdef __wasm__
__attribute__((__export_name__("cabi_realloc")))
#endif
void *cabi_realloc(void *memory, size_t size_before, size_t align, size_t size) {
    (void)size_before;
    if (size == 0) {
        return align == 1 ? (void *)nothing : NULL;
    }
    if (align > 1) {
        return edgeplug_reallocate(memory, size);
    }
    if (size == SIZE_MAX) {
        no_memory();
    }
    uint8_t *room = edgeplug_reallocate(memory, size + 1);
    room[size] = 0;
    return room;
}

static uint8_t *copied(const void *data, size_t length) {
    uint8_t *copy = cabi_realloc(NULL, 0, 1, length);
    if (length > 0) {
        memcpy(copy, data, length);
    }
    return copy;
}

edgeplug_string_t edgeplug_view(const char *text) {
    return (edgeplug_string_t){(uint8_t *)text, strlen(text)};
}

const char *edgeplug_chars(edgeplug_string_t string) {
    return string.len == 0 ? "" : (const char *)string.ptr;
}

edgeplug_string_t edgeplug_copy(const char *text) {
    size_t length = strlen(text);
    edgeplug_string_t copy = {copied(text, length), length};
    edgeplug_utf8_repair(copy.ptr, copy.len);
    return copy;
}

edgeplug_string_t edgeplug_repaired(const char *text, edgeplug_string_t *copy) {
    edgeplug_string_t view = edgeplug_view(text);
    if (edgeplug_utf8_length(view.ptr, view.len) < view.len) {
        *copy = edgeplug_copy(text);
        return *copy;
    }
    return view;
}

edgeplug_bytes_t edgeplug_bytes(const void *data, size_t length) {
    return (edgeplug_bytes_t){copied(data, length), length};
}

bool edgeplug_equals(edgeplug_string_t string, const char *text) {
    return string.len == strlen(text) && (string.len == 0 || memcmp(string.ptr, text, string.len) == 0);
}

static void append_formatted(edgeplug_string_t *string, const char *format, va_list arguments) {
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    if (length > 0) {
        // What an empty string points to was never allocated.
        string->ptr = edgeplug_reallocate(string->len == 0 ? NULL : string->ptr, string->len + (size_t)length + 1);
        vsnprintf((char *)string->ptr + string->len, (size_t)length + 1, format, again);
        edgeplug_utf8_repair(string->ptr + string->len, (size_t)length);
        string->len += (size_t)length;
    }
    va_end(again);
}

edgeplug_string_t edgeplug_formatted(const char *format, va_list arguments) {
    edgeplug_string_t string = {nothing, 0};
    append_formatted(&string, format, arguments);
    return string;
}

void edgeplug_append(edgeplug_string_t *string, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    append_formatted(string, format, arguments);
    va_end(arguments);
}

edgeplug_string_t edgeplug_format(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    edgeplug_string_t string = edgeplug_formatted(format, arguments);
    va_end(arguments);
    return string;
}

bool edgeplug_fail(edgeplug_string_t *error, const char *format, ...) {
    if (error != NULL) {
        va_list arguments;
        va_start(arguments, format);
        *error = edgeplug_formatted(format, arguments);
        va_end(arguments);
    }
    return false;
}
