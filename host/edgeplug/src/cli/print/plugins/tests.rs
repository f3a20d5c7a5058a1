use serde_json::json;

use super::*;

#[test]
fn a_list_has_a_line_for_each_plugin_and_what_has_to_be_known() {
    let list = list(&json!([
        { "plugin": "load", "state": "running", "sha256": "0123456789abcdef", "version": "1.2.3", "calls": 8, "errors": 2,
            "faults": 1, "restarts": 1, "interval_ms": 500, "grants": ["may read /proc/loadavg"],
            "figures": { "latency": { "count": 8, "p99_us": 1_280 }, "memory_bytes": 1_153_434, "lane": "fast" },
            "probation": { "good_calls": 1, "good_calls_wanted": 3, "seconds_left": 42 }, "set_aside": null },
        { "plugin": "new", "state": "loading", "sha256": "", "calls": 0, "errors": 0, "faults": 0, "restarts": 0,
            "interval_ms": 0, "problem": "it does not start" },
        { "plugin": "old", "state": "quarantined", "sha256": "fedcba9876543210", "interval_ms": 60_000, "calls": 10,
            "faults": 10, "figures": { "lane": "idle" }, "exports": { "sensor": false },
            "set_aside": { "sha256": "00112233445566778899", "reason": "the plugin trapped" } },
        { "plugin": "resting", "state": "disabled", "origin": { "component": "ota", "manifest": "operator" } },
    ]));
    insta::assert_snapshot!(list, @r"
    PLUGIN   STATE        VERSION             EVERY   CALLS  ERRORS  FAULTS  RESTARTS  P99     MEMORY
    load     running      1.2.3 0123456789ab  500 ms  8      2       1       1         1.2 ms  1.1 MiB
      on probation: 1 of 3 good calls, 42 s left
    new      loading      -                   -       0      0       0       0         -       -
      problem: it does not start
    old      quarantined  fedcba987654        -       10     0       10      0         -       -
      it failed too often and is left alone; `edgeplug plugin restart old` or another file ends that
      version 001122334455 is set aside: the plugin trapped
      it computes more than its share, or did not end in time: it runs when nobody else wants the processor
    resting  disabled     -                   -       0      0       0       0         -       -
      an operator switched it off; `edgeplug plugin enable resting` ends that
      it came by an update
    ");
}

#[test]
fn nothing_is_a_list_too() {
    assert!(list(&json!([])).starts_with("no plugins"));
}

#[test]
fn one_plugin_is_shown_with_all_its_figures() {
    let shown = show(&json!({
        "plugin": "load", "state": "running", "sha256": "0123456789abcdef", "version": "1.2.3", "signed_by": "AB12",
        "exports": { "sensor": true, "commands": true, "lifecycle": false }, "interval_ms": 500,
        "grants": ["may read /proc/loadavg"], "commands": { "names": ["reset"], "devices": [] },
        "restarts": 1, "swaps": 2, "rollbacks": 1, "strikes": 0, "memory_bytes_max": 2_097_152,
        "problem": "the plugin answered: no sensor",
        "figures": {
            "calls": {
                "commands.handle": { "good": 1, "errors": 0, "traps": 0, "timeouts": 0 },
                "sensor.sample": { "good": 1_000, "errors": 2, "traps": 1, "timeouts": 0 },
            },
            "latency": { "count": 1_004, "p50_us": 120, "p90_us": 240, "p99_us": 1_280, "max_us": 1_200_000, "buckets": [
                { "up_to_us": 112, "count": 400 }, { "up_to_us": 128, "count": 400 }, { "up_to_us": 240, "count": 200 },
                { "up_to_us": 1_310_720, "count": 4 },
            ] },
            "cpu_us": 120_345, "lane": "slow", "memory_bytes": 1_048_576, "memory_bytes_max": 2_097_152, "starts": 3,
            "samples": 1_000, "readings": 3_000, "reading_bytes": 40_000, "rejected": 7, "refused": 2, "waits": 12,
        },
    }));
    insta::assert_snapshot!(shown, @r"
    load  running
      problem: the plugin answered: no sensor
      version    0123456789abcdef
      release    1.2.3, signed by AB12
      exports    commands, sensor
      sampled    every 500 ms
      right      may read /proc/loadavg
      commands   only reset
      lives      3 started, 1 restarts, 2 swaps, 1 rolled back, 0 strikes
      memory     1.0 MiB now, 2.0 MiB at most
      processor  120 ms in all, slow lane
      readings   1000 samples, 3000 values, 40000 bytes; 7 samples rejected
      host       waited for 12 times; 2 rights refused
      calls                             good  errors   traps time-outs
        commands.handle                    1       0       0         0
        sensor.sample                   1000       2       1         0
      call times p50 120 us, p90 240 us, p99 1.2 ms, longest 1.2 s
        up to    128 us       800  ########################################
        up to    256 us       200  ##########
        up to     2.0 s         4  #
    ");
}

#[test]
fn times_have_the_unit_that_leaves_a_few_digits() {
    let times = [(0, "0 us"), (999, "999 us"), (1_250, "1.2 ms"), (250_000, "250 ms"), (1_500_000, "1.5 s")];
    for (us, words) in times {
        assert_eq!(time(us), words);
    }
    assert_eq!(time(3_600_000_000), "3600 s");
}
