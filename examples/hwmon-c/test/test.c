// The plugin against sensors as drivers show them.
#include "testing/edgeplug_testing.h"

#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <string.h>

static void file(const char *path, const char *content) {
    edgeplug_testing_put(&edgeplug_testing.files, path, content);
}

// What one call of plugin_sample says: `name=value` in order, or the error.
static edgeplug_string_t readings(void) {
    edgeplug_samples_t samples = {0};
    edgeplug_string_t said = {0};
    if (!plugin_sample(&samples, &said)) {
        edgeplug_samples_free(&samples);
        return said;
    }
    assert(samples.len == 1);
    for (size_t i = 0; i < samples.ptr[0].values.len; i++) {
        const edgeplug_tuple2_string_value_t *value = &samples.ptr[0].values.ptr[i];
        edgeplug_append(&said, "%s%s=%g", i == 0 ? "" : " ", edgeplug_chars(value->f0), value->f1.val.number);
    }
    edgeplug_samples_free(&samples);
    return said;
}

static void says(const char *wanted) {
    edgeplug_string_t said = readings();
    if (strstr(edgeplug_chars(said), wanted) == NULL) {
        printf("wanted: %s\nsaid:   %s\n", wanted, edgeplug_chars(said));
    }
    assert(strstr(edgeplug_chars(said), wanted) != NULL);
    edgeplug_string_free(&said);
}

static void start(void) {
    edgeplug_string_t error;
    assert(plugin_start(&error));
}

static void labels_and_chips_make_names(void) {
    file("/sys/class/hwmon/hwmon0/name", "coretemp\n");
    file("/sys/class/hwmon/hwmon0/temp1_input", "47000\n");
    file("/sys/class/hwmon/hwmon0/temp1_label", "Package id 0\n");
    file("/sys/class/hwmon/hwmon1/name", "nct6775\n");
    file("/sys/class/hwmon/hwmon1/fan2_input", "1180\n");
    file("/sys/class/hwmon/hwmon1/temp2_input", "-1500\n");
    file("/sys/class/thermal/thermal_zone0/type", "x86_pkg_temp\n");
    file("/sys/class/thermal/thermal_zone0/temp", "46000\n");
    start();
    says("coretemp_package_id_0_c=47 nct6775_temp2_c=-1.5 x86_pkg_temp_c=46 nct6775_fan2_rpm=1180");
}

static void two_of_a_name_are_numbered(void) {
    file("/sys/class/hwmon/hwmon0/name", "nvme\n");
    file("/sys/class/hwmon/hwmon0/temp1_input", "30000\n");
    file("/sys/class/hwmon/hwmon1/name", "nvme\n");
    file("/sys/class/hwmon/hwmon1/temp1_input", "31000\n");
    start();
    says("nvme_temp1_c=30 nvme_temp1_2_c=31");
}

static void a_disk_that_sleeps_keeps_its_name(void) {
    file("/sys/class/hwmon/hwmon4/name", "nvme\n");
    file("/sys/class/hwmon/hwmon4/temp1_input", "");
    file("/sys/class/hwmon/hwmon5/name", "nvme\n");
    file("/sys/class/hwmon/hwmon5/temp1_input", "31000\n");
    start();
    says("nvme_temp1_2_c=31");
    file("/sys/class/hwmon/hwmon4/temp1_input", "30000\n");
    says("nvme_temp1_c=30 nvme_temp1_2_c=31");
}

static void a_sensor_that_fails_is_left_out_and_named_once(void) {
    file("/sys/class/hwmon/hwmon0/name", "iwlwifi\n");
    file("/sys/class/hwmon/hwmon0/temp1_input", "");
    file("/sys/class/hwmon/hwmon1/name", "nvme\n");
    file("/sys/class/hwmon/hwmon1/temp1_input", "30000\n");
    start();
    says("nvme_temp1_c=30");
    says("nvme_temp1_c=30");
    const char *warning = "warn no reading from /sys/class/hwmon/hwmon0/temp1_input: not a number\n";
    assert(edgeplug_equals(edgeplug_testing.log, warning));
}

static void a_sensor_without_its_chip_is_no_reading(void) {
    file("/sys/class/hwmon/hwmon0/temp1_input", "46000\n");
    file("/sys/class/thermal/thermal_zone0/temp", "46000\n");
    start();
    says("none of 2 sensors can be read");
    assert(strstr(edgeplug_chars(edgeplug_testing.log), "hwmon0/name: there is no such file") != NULL);
}

static void fans_can_be_left_out(void) {
    file("/sys/class/hwmon/hwmon0/name", "nct6775\n");
    file("/sys/class/hwmon/hwmon0/fan1_input", "900\n");
    edgeplug_testing_put(&edgeplug_testing.config, "fans", "false");
    start();
    says("this machine shows no sensor");
    edgeplug_testing_put(&edgeplug_testing.config, "fans", "true");
    start();
    says("nct6775_fan1_rpm=900");
    edgeplug_testing_put(&edgeplug_testing.config, "fans", "maybe");
    edgeplug_string_t error;
    assert(!plugin_start(&error) && strstr(edgeplug_chars(error), "`fans`") != NULL);
    edgeplug_string_free(&error);
}

static void a_long_label_is_cut(void) {
    char label[400];
    memset(label, 'x', sizeof label);
    label[sizeof label - 1] = 0;
    file("/sys/class/hwmon/hwmon0/name", "long");
    file("/sys/class/hwmon/hwmon0/temp1_label", label);
    file("/sys/class/hwmon/hwmon0/temp1_input", "1000\n");
    start();
    edgeplug_string_t said = readings();
    assert(strcspn(edgeplug_chars(said), "=") <= 128);
    edgeplug_string_free(&said);
}

int main(void) {
    static const struct {
        const char *name;
        void (*run)(void);
    } tests[] = {
#define TEST(name) {#name, name}
        TEST(labels_and_chips_make_names),
        TEST(two_of_a_name_are_numbered),
        TEST(a_disk_that_sleeps_keeps_its_name),
        TEST(a_sensor_that_fails_is_left_out_and_named_once),
        TEST(a_sensor_without_its_chip_is_no_reading),
        TEST(fans_can_be_left_out),
        TEST(a_long_label_is_cut),
    };
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        edgeplug_testing_reset();
        tests[i].run();
        printf("%s ok\n", tests[i].name);
    }
    edgeplug_testing_reset();
    return 0;
}
