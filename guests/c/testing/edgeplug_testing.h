// The host as a native test of a plugin sees it: empty at first, filled and looked into by the test.
//
//     cc -Isdk plugin.c test.c sdk/src/*.c sdk/generated/edgeplug_types.c sdk/testing/edgeplug_testing.c
//
// The test calls the plugin's functions (plugin_sample and so on) as the daemon would, and owns what they return.
#ifndef EDGEPLUG_TESTING_H
#define EDGEPLUG_TESTING_H

#include "../edgeplug.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    // The [config] table; `edgeplug_testing_put(&edgeplug_testing.config, key, value)`.
    edgeplug_pairs_t config;
    // Granted files, content by path.
    edgeplug_pairs_t files;
    // The plugin's memory.
    edgeplug_pairs_t state;
    // Firmware files by id.
    edgeplug_pairs_t firmware;
    const char *unique_id;
    bool connected;
    bool may_disconnect;
    // Makes the template, new for each question; NULL is none.
    void (*template)(edgeplug_device_model_t *model);
    // What becomes of every sample that is sent: EDGEPLUG_OUTCOME_ACCEPTED and so on.
    uint8_t outcome;
    // Samples that were accepted.
    edgeplug_samples_t sent;
    // Lines such as `info hello`.
    edgeplug_string_t log;
    // The twin; when `twin_error` is not NULL, it is unavailable for that reason.
    const char *desired, *reported, *twin_error;
    uint64_t desired_version, reported_version;
    // What was reported, a line each; it is not merged into `reported`.
    edgeplug_string_t reports;
    // How deferred commands and updates ended, by id: `done valve closed`, `failed stuck`.
    edgeplug_pairs_t ends;
    // Lines such as `u1 50 writing`.
    edgeplug_string_t progress;
} edgeplug_testing_t;

extern edgeplug_testing_t edgeplug_testing;

// Makes it all empty and connected again. Call it before each test.
void edgeplug_testing_reset(void);

// Puts a value under a key, or takes the key away when `value` is NULL. Both are copied.
void edgeplug_testing_put(edgeplug_pairs_t *pairs, const char *key, const char *value);

// The value of a key, NULL when there is none. Not copied: valid until the next change.
const char *edgeplug_testing_get(const edgeplug_pairs_t *pairs, const char *key);

// The value of an attribute, NULL when the sample does not have it. The sample's.
const edgeplug_value_t *edgeplug_testing_value(const edgeplug_sample_t *sample, const char *name);

#ifdef __cplusplus
}
#endif
#endif
