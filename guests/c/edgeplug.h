// Write plugins for the Edgeplug daemon in C.
//
// What begins with `edgeplug_` you call, what begins with `plugin_` you write. Types are in
// generated/edgeplug_wit.h, with every member explained; buses and lines are in edgeplug_hardware.h.
//
// Who owns what. Memory comes from malloc. Unless its comment says otherwise, a function
//   - borrows its arguments: they stay yours,
//   - gives you what it returns or writes into its last arguments: free it with the `_free` function of its type
//     (edgeplug_string_free for a string, and so on; freeing an empty one is fine, and what was freed is empty),
//   - writes either its result or its error, never both. A `why` or `error` may be NULL when you do not want it.
//
// Every string and every list of bytes that comes from the host or from a function of this header has a NUL behind
// its last byte, so that it is also a C string: edgeplug_chars. (The daemon's texts may hold NULs themselves, like any
// UTF-8; what counts is `len`.)
//
// The host takes nothing but UTF-8 and ends a plugin that gives it something else. Whatever is logged, formatted, copied,
// acknowledged or reported by these functions is repaired (a question mark for every wrong byte); keys, paths, ids and
// your own views are not.
//
// When there is no memory left, the plugin aborts with a message; the daemon starts it anew.
#ifndef EDGEPLUG_H
#define EDGEPLUG_H

#include "generated/edgeplug_wit.h"

#ifdef __cplusplus
extern "C" {
#endif

#define EDGEPLUG_PRINTF(format, arguments) __attribute__((__format__(__printf__, format, arguments)))

// What a plugin is
//
// Write those you need and compile exports/<interface>.c for each interface you want to have: the daemon sends
// commands, firmware and other plugins' readings to whoever exports the interface. All arguments are borrowed for the
// time of the call, but for what is said below. What you write into a result becomes the caller's: it must come from
// malloc (from the functions below). Where the answer is `bool`, false says that you wrote the reason into `error`;
// edgeplug_fail does both. A reply or an error that you leave alone is empty.

// exports/sensor.c. Called once per interval: add your readings to `samples`, which is empty.
bool plugin_sample(edgeplug_samples_t *samples, edgeplug_string_t *error);

// exports/commands.c. Called for every command. What is wrong with the command is edgeplug_failed; what is wrong with
// the plugin is an error.
bool plugin_handle(const edgeplug_command_t *command, edgeplug_reply_t *reply, edgeplug_string_t *error);

// exports/twin_events.c. Called after every change of the twin's desired properties.
bool plugin_desired_changed(const edgeplug_change_t *change, edgeplug_string_t *error);

// exports/connection_events.c. Called at every change, and once after plugin_start.
void plugin_connection_changed(const edgeplug_connection_t *connection);

// exports/firmware.c. Called once for every file that was downloaded and verified; read it by edgeplug_firmware_read.
bool plugin_update(const edgeplug_update_t *update, edgeplug_reply_t *reply, edgeplug_string_t *error);

// exports/transform.c. Called with other plugins' samples on their way to the store: change them as you like, what is
// in `samples` in the end is stored. On an error they are stored as they were.
bool plugin_transform(edgeplug_samples_t *samples, edgeplug_string_t *error);

// exports/lifecycle.c; leave out what you do not need. Called before anything else; an error keeps the plugin from
// running.
bool plugin_start(edgeplug_string_t *error);
// Called once before the instance goes.
void plugin_stop(void);
// Called before plugin_stop when the component's file has changed: what the next version shall know, at most 1 MiB;
// `saved` is empty, which is nothing.
bool plugin_save_state(edgeplug_bytes_t *saved, edgeplug_string_t *error);
// Called after plugin_start with what the version before saved. An error keeps the old version running.
bool plugin_restore_state(const edgeplug_bytes_t *saved, edgeplug_string_t *error);

// Strings and bytes

// The same bytes, not copied: valid as long as `text`, and not to be freed.
edgeplug_string_t edgeplug_view(const char *text);

// The string as a C string, not copied: valid as long as `string`. Only for strings with a NUL behind them, see above.
const char *edgeplug_chars(edgeplug_string_t string);

// A new string.
edgeplug_string_t edgeplug_copy(const char *text);

// A new string, written as printf would.
edgeplug_string_t edgeplug_format(const char *format, ...) EDGEPLUG_PRINTF(1, 2);

// Writes more behind a string of your own, as printf would. Begin with `edgeplug_string_t text = {0};`.
void edgeplug_append(edgeplug_string_t *string, const char *format, ...) EDGEPLUG_PRINTF(2, 3);

// New bytes.
edgeplug_bytes_t edgeplug_bytes(const void *data, size_t length);

bool edgeplug_equals(edgeplug_string_t string, const char *text);

// Writes the reason as printf would into `error`, and is false: `return edgeplug_fail(error, "no sensor at %s",
// path);`.
bool edgeplug_fail(edgeplug_string_t *error, const char *format, ...) EDGEPLUG_PRINTF(2, 3);

// malloc and realloc that abort when there is no memory.
void *edgeplug_allocate(size_t size);
void *edgeplug_reallocate(void *memory, size_t size);

// Log. Messages past 4 KiB are cut.

// Logs one message. It alone does without printf, for the smallest plugins.
void edgeplug_log(edgeplug_log_level_t level, const char *message);

void edgeplug_trace(const char *format, ...) EDGEPLUG_PRINTF(1, 2);
void edgeplug_debug(const char *format, ...) EDGEPLUG_PRINTF(1, 2);
void edgeplug_info(const char *format, ...) EDGEPLUG_PRINTF(1, 2);
void edgeplug_warn(const char *format, ...) EDGEPLUG_PRINTF(1, 2);
void edgeplug_error(const char *format, ...) EDGEPLUG_PRINTF(1, 2);

// Writes the reason to standard error and traps: a command under way fails with it, and the daemon starts the plugin
// anew.
__attribute__((__noreturn__)) void edgeplug_abort(const char *format, ...) EDGEPLUG_PRINTF(1, 2);

// Configuration: the [config] table of the manifest

// False when the manifest does not have the key; `value` is then empty.
bool edgeplug_config_get(const char *key, edgeplug_string_t *value);

// `number` is `missing` when the manifest does not have the key. An error names the key and the text that is no number; infinity and NaN are none.
bool edgeplug_config_number(const char *key, double missing, double *number, edgeplug_string_t *error);

// Every key (f0) with its value (f1), ordered by key.
void edgeplug_config_all(edgeplug_pairs_t *all);

// Samples

// Adds an empty sample of the device itself, measured when it arrives at the host. The pointer is valid until the next
// sample is added; the list owns it.
edgeplug_sample_t *edgeplug_samples_add(edgeplug_samples_t *samples);

// Takes a sample out of the list and frees it; those behind it move up. Behind the end there is nothing to do.
void edgeplug_samples_remove(edgeplug_samples_t *samples, size_t index);

// Says which child device was measured.
void edgeplug_sample_of(edgeplug_sample_t *sample, const char *child);

// Says when it was measured: seconds since 1970, and nanoseconds to be added to them.
void edgeplug_sample_at(edgeplug_sample_t *sample, int64_t seconds, uint32_t nanoseconds);

// Adds an attribute; name and text are copied.
void edgeplug_add_boolean(edgeplug_sample_t *sample, const char *name, bool value);
void edgeplug_add_integer(edgeplug_sample_t *sample, const char *name, int64_t value);
void edgeplug_add_number(edgeplug_sample_t *sample, const char *name, double value);
void edgeplug_add_text(edgeplug_sample_t *sample, const char *name, const char *value);
void edgeplug_add_place(edgeplug_sample_t *sample, const char *name, double latitude, double longitude);

// Adds an attribute with any value, which becomes the sample's.
void edgeplug_add(edgeplug_sample_t *sample, const char *name, edgeplug_value_t value);

// An object without members, as a value. Give it members, then add it to a sample.
edgeplug_value_t edgeplug_object(void);

// Adds a member to an object; name and text are copied.
void edgeplug_object_add_boolean(edgeplug_value_t *object, const char *name, bool value);
void edgeplug_object_add_integer(edgeplug_value_t *object, const char *name, int64_t value);
void edgeplug_object_add_number(edgeplug_value_t *object, const char *name, double value);
void edgeplug_object_add_text(edgeplug_value_t *object, const char *name, const char *value);

// Readings that the plugin sends of its own accord

// Up to 1000 samples and 240 KB; waits for the daemon's store. `outcomes` has one for each, in order: tags are
// EDGEPLUG_OUTCOME_ACCEPTED and so on. Free them by edgeplug_outcomes_free, the samples by edgeplug_samples_free.
void edgeplug_telemetry_send(const edgeplug_samples_t *samples, edgeplug_outcomes_t *outcomes);

// Whether the daemon has it, in its store or, where the operator chose so, in its memory.
bool edgeplug_outcome_is_accepted(const edgeplug_outcome_t *outcome);

// Commands and their replies

// Whether the command's first word is `verb`; `argument` is then everything behind it without the spaces around it,
// not copied: valid as long as the command, and not to be freed. (The trailing spaces are still there for
// edgeplug_chars.) It may be NULL.
bool edgeplug_command_is(const edgeplug_command_t *command, const char *verb, edgeplug_string_t *argument);

// Replies with a message, written as printf would.
edgeplug_reply_t edgeplug_done(const char *format, ...) EDGEPLUG_PRINTF(1, 2);
edgeplug_reply_t edgeplug_failed(const char *format, ...) EDGEPLUG_PRINTF(1, 2);

// It takes longer than this call. Copy the command's or the update's id and end it by edgeplug_acks_finish.
edgeplug_reply_t edgeplug_deferred(void);

// Ends what was deferred. When this is true, the end is on disk. Tags of errors are EDGEPLUG_ACKS_ERROR_UNKNOWN and so
// on.
bool edgeplug_acks_done(const char *id, const char *message, edgeplug_acks_error_t *why);
bool edgeplug_acks_failed(const char *id, const char *message, edgeplug_acks_error_t *why);

// How far it is, 0 to 100. Never fails and never waits.
void edgeplug_acks_progress(const char *id, uint8_t percent, const char *message);

// Device

// A new string: the unique id under which the cloud knows the device.
edgeplug_string_t edgeplug_device_unique_id(void);

// What the cloud says about the device. False before it was ever reached: there is nothing to free then.
bool edgeplug_device_template(edgeplug_device_model_t *model);

// How a kind of attribute is spelt, for instance `lat-long`; a constant.
const char *edgeplug_device_kind_name(edgeplug_device_kind_t kind);

bool edgeplug_device_connected(void);

// End the connection to the cloud, and allow it again; both need the right `disconnect`.
bool edgeplug_device_disconnect(edgeplug_string_t *error);
bool edgeplug_device_reconnect(edgeplug_string_t *error);

// Twin: JSON text, at most 32 KiB

// Asks the hub for the whole twin.
bool edgeplug_twin_get(edgeplug_twin_document_t *document, edgeplug_twin_error_t *why);

// Merges a JSON object into what is reported. `version`, the new one, may be NULL.
bool edgeplug_twin_report(const char *patch, uint64_t *version, edgeplug_twin_error_t *why);

// State: at most 64 keys of 1 to 128 bytes, and 64 KiB in all; it outlives the plugin and a power cut

// `value->is_some` is false when there is no such key. Free it by edgeplug_option_bytes_free.
bool edgeplug_state_get(const char *key, edgeplug_option_bytes_t *value, edgeplug_state_error_t *why);

// When this is true, the value is on disk.
bool edgeplug_state_set(const char *key, const void *value, size_t length, edgeplug_state_error_t *why);

bool edgeplug_state_delete(const char *key, edgeplug_state_error_t *why);

bool edgeplug_state_keys(edgeplug_strings_t *keys, edgeplug_state_error_t *why);

// Files: what the manifest asks for and the operator allows, read-only

// The whole file, at most 1 MiB.
bool edgeplug_files_read(const char *path, edgeplug_bytes_t *content, edgeplug_files_error_t *why);

// The same as a string. It is not checked whether it is UTF-8.
bool edgeplug_files_read_text(const char *path, edgeplug_string_t *text, edgeplug_files_error_t *why);

// `length` bytes (at most 1 MiB) from `offset` on, fewer at its end, none behind it.
bool edgeplug_files_read_at(const char *path, uint64_t offset, uint32_t length, edgeplug_bytes_t *content,
                            edgeplug_files_error_t *why);

// The granted paths that exist and fit the pattern, ordered: edgeplug_chars(paths->ptr[i]). Free by
// edgeplug_strings_free.
bool edgeplug_files_find(const char *pattern, edgeplug_strings_t *paths, edgeplug_files_error_t *why);

// The file of an update under way, as edgeplug_files_read_at.
bool edgeplug_firmware_read(const char *id, uint64_t offset, uint32_t length, edgeplug_bytes_t *content,
                            edgeplug_string_t *error);

// Errors in words: a new string each. The error is freed and must not be used again:
//
//     edgeplug_files_error_t why;
//     if (!edgeplug_files_read(path, &content, &why)) {
//         *error = edgeplug_files_error_text(&why);
//         return false;
//     }
edgeplug_string_t edgeplug_files_error_text(edgeplug_files_error_t *why);
edgeplug_string_t edgeplug_state_error_text(edgeplug_state_error_t *why);
edgeplug_string_t edgeplug_twin_error_text(edgeplug_twin_error_t *why);
edgeplug_string_t edgeplug_acks_error_text(edgeplug_acks_error_t *why);

#ifdef __cplusplus
}
#endif
#endif
