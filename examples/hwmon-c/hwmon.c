// Temperatures and fans of the machine: what the kernel's drivers show below /sys/class/hwmon and /sys/class/thermal.
// See README.md for the names.
//
// Sensors come and go with their drivers, so they are looked for at every reading. One that cannot be read (asleep, or
// its driver fails) is left out and named in the log once.
#include "edgeplug.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

// As many as a sample can hold.
#define SENSORS_MAX 256
// As long as an attribute's name can be, and room for its unit and number behind what is cut.
#define NAME_MAX 128
#define NAME_ENDING_MAX 16

static bool fans = true;

// Names given in the reading under way, also to sensors that cannot be read: theirs must not become another's.
static edgeplug_string_t names[SENSORS_MAX];
static size_t name_count;

// Paths that were named in the log.
static char *complaints[SENSORS_MAX];
static size_t complaint_count;

static void complain(const char *path, const char *problem) {
    for (size_t i = 0; i < complaint_count; i++) {
        if (strcmp(complaints[i], path) == 0) {
            return;
        }
    }
    if (complaint_count < SENSORS_MAX) {
        complaints[complaint_count++] = strcpy(edgeplug_allocate(strlen(path) + 1), path);
        edgeplug_warn("no reading from %s: %s", path, problem);
    }
}

// The directory that a path is in, with the `/` at its end, and a file's name behind it. A new string.
static edgeplug_string_t beside(const char *path, const char *name) {
    return edgeplug_format("%.*s%s", (int)(strrchr(path, '/') + 1 - path), path, name);
}

// A file of one line without the line's end, a new string. False, and said once, when it cannot be read; where there
// need not be one (`optional`), none is an empty line.
static bool read_line(const char *path, bool optional, edgeplug_string_t *line) {
    edgeplug_string_t text;
    edgeplug_files_error_t why;
    if (edgeplug_files_read_text(path, &text, &why)) {
        *line = edgeplug_format("%.*s", (int)strcspn(edgeplug_chars(text), "\n"), edgeplug_chars(text));
        edgeplug_string_free(&text);
        return true;
    }
    bool missing = optional && why.tag == EDGEPLUG_FILES_ERROR_NOT_FOUND;
    edgeplug_string_t words = edgeplug_files_error_text(&why);
    if (missing) {
        *line = edgeplug_copy("");
    } else {
        complain(path, edgeplug_chars(words));
    }
    edgeplug_string_free(&words);
    return missing;
}

static bool read_number(const char *path, double *number) {
    edgeplug_string_t line;
    if (!read_line(path, false, &line)) {
        return false;
    }
    char *end;
    *number = (double)strtol(edgeplug_chars(line), &end, 10);
    bool good = line.len > 0 && *end == 0;
    if (!good) {
        complain(path, "not a number");
    }
    edgeplug_string_free(&line);
    return good;
}

static void forget_names(void) {
    while (name_count > 0) {
        edgeplug_string_free(&names[--name_count]);
    }
}

static bool is_taken(const char *name) {
    for (size_t i = 0; i < name_count; i++) {
        if (edgeplug_equals(names[i], name)) {
            return true;
        }
    }
    return false;
}

// The name of `Package id 0` of `coretemp` in `c`: coretemp_package_id_0_c. A second one of the same name, say of a
// second disk, gets a number: coretemp_package_id_0_2_c. Numbers follow the order of the paths.
static const char *named(const char *chip, const char *sensor, const char *unit) {
    edgeplug_string_t words = edgeplug_format("%s %s", chip, sensor);
    char stem[NAME_MAX - NAME_ENDING_MAX + 1];
    size_t length = 0;
    for (size_t i = 0; i < words.len && length + 1 < sizeof stem; i++) {
        if (isalnum(words.ptr[i])) {
            stem[length++] = (char)tolower(words.ptr[i]);
        } else if (length > 0 && stem[length - 1] != '_') {
            stem[length++] = '_';
        }
    }
    while (length > 0 && stem[length - 1] == '_') {
        length--;
    }
    stem[length] = 0;
    edgeplug_string_free(&words);

    edgeplug_string_t name = edgeplug_format("%s_%s", stem, unit);
    for (unsigned number = 2; is_taken(edgeplug_chars(name)); number++) {
        edgeplug_string_free(&name);
        name = edgeplug_format("%s_%u_%s", stem, number, unit);
    }
    names[name_count++] = name;
    return edgeplug_chars(name);
}

// One sensor of a chip: /sys/class/hwmon/hwmon2/temp1_input, with its chip in `name` and perhaps words of its own in
// `temp1_label`. Without its names it is no reading: under another name it would be another sensor's.
static void read_hwmon(edgeplug_sample_t *sample, const char *path, const char *unit, double divisor) {
    const char *file = strrchr(path, '/') + 1;
    int stem = (int)strcspn(file, "_");
    edgeplug_string_t label_file = edgeplug_format("%.*s_label", stem, file);
    edgeplug_string_t label_path = beside(path, edgeplug_chars(label_file));
    edgeplug_string_t chip_path = beside(path, "name");
    edgeplug_string_t chip = {0}, label = {0};
    double number;
    if (read_line(edgeplug_chars(chip_path), false, &chip) && read_line(edgeplug_chars(label_path), true, &label)) {
        if (label.len == 0) {
            edgeplug_append(&label, "%.*s", stem, file);
        }
        const char *name = named(edgeplug_chars(chip), edgeplug_chars(label), unit);
        if (read_number(path, &number)) {
            edgeplug_add_number(sample, name, number / divisor);
        }
    }
    edgeplug_string_free(&label_file);
    edgeplug_string_free(&label_path);
    edgeplug_string_free(&chip_path);
    edgeplug_string_free(&chip);
    edgeplug_string_free(&label);
}

// One thermal zone: /sys/class/thermal/thermal_zone0/temp, with its name in `type`.
static void read_zone(edgeplug_sample_t *sample, const char *path, const char *unit, double divisor) {
    edgeplug_string_t type_path = beside(path, "type");
    edgeplug_string_t type = {0};
    double number;
    if (read_line(edgeplug_chars(type_path), false, &type)) {
        const char *name = named(edgeplug_chars(type), "", unit);
        if (read_number(path, &number)) {
            edgeplug_add_number(sample, name, number / divisor);
        }
    }
    edgeplug_string_free(&type_path);
    edgeplug_string_free(&type);
}

// Adds what can be read of the sensors that fit a pattern, and counts how many there are.
static bool read_all(edgeplug_sample_t *sample, size_t *count, const char *pattern, const char *unit, double divisor,
                     void (*read)(edgeplug_sample_t *, const char *, const char *, double), edgeplug_string_t *error) {
    edgeplug_strings_t paths;
    edgeplug_files_error_t why;
    if (!edgeplug_files_find(pattern, &paths, &why)) {
        *error = edgeplug_files_error_text(&why);
        return false;
    }
    for (size_t i = 0; i < paths.len && name_count < SENSORS_MAX; i++) {
        read(sample, edgeplug_chars(paths.ptr[i]), unit, divisor);
    }
    *count += paths.len;
    edgeplug_strings_free(&paths);
    return true;
}

bool plugin_start(edgeplug_string_t *error) {
    edgeplug_string_t value;
    if (edgeplug_config_get("fans", &value)) {
        fans = edgeplug_equals(value, "true");
        if (!fans && !edgeplug_equals(value, "false")) {
            edgeplug_fail(error, "config key `fans` is \"%s\"; it wants true or false", edgeplug_chars(value));
            edgeplug_string_free(&value);
            return false;
        }
        edgeplug_string_free(&value);
    }
    return true;
}

bool plugin_sample(edgeplug_samples_t *samples, edgeplug_string_t *error) {
    edgeplug_sample_t *sample = edgeplug_samples_add(samples);
    size_t count = 0;
    forget_names();
    if (!read_all(sample, &count, "/sys/class/hwmon/hwmon*/temp*_input", "c", 1000, read_hwmon, error) ||
        !read_all(sample, &count, "/sys/class/thermal/thermal_zone*/temp", "c", 1000, read_zone, error)) {
        return false;
    }
    if (fans && !read_all(sample, &count, "/sys/class/hwmon/hwmon*/fan*_input", "rpm", 1, read_hwmon, error)) {
        return false;
    }
    if (count == 0) {
        return edgeplug_fail(error, "this machine shows no sensor below /sys/class/hwmon and /sys/class/thermal");
    }
    if (sample->values.len == 0) {
        return edgeplug_fail(error, "none of %zu sensors can be read", count);
    }
    return true;
}
