import assert from "node:assert/strict";
import test from "node:test";

import { Command, CommandFailed, DesiredChange, Failure } from "../../../guests/javascript/edgeplug.js";
import { play } from "../../../guests/javascript/testing.js";
import Threshold from "../threshold.js";

const SENSOR = "/temp";

function started(given = {}) {
  const host = play({ config: { sensor: SENSOR }, files: { [SENSOR]: "65000\n" }, ...given });
  const plugin = new Threshold();
  plugin.start();
  return { host, plugin };
}

function measures(host, plugin, celsius) {
  host.files[SENSOR] = `${celsius * 1000}\n`;
  return plugin.sample().values.cooling;
}

const wants = (plugin, values, complete = false) =>
  plugin.desiredChanged(new DesiredChange(JSON.stringify(values), { complete }));

test("cooling goes on above one temperature and off below the other", () => {
  const { host, plugin } = started();
  const seen = [65, 70, 70.1, 65, 60, 59.9, 65].map((celsius) => measures(host, plugin, celsius));
  assert.deepEqual(seen, [false, false, true, true, true, false, false]);
});

test("a sensor that says no number is an error, and nothing is switched", () => {
  const { host, plugin } = started();
  for (const content of ["", "hot\n"]) {
    host.files[SENSOR] = content;
    assert.throws(() => plugin.sample(), Failure);
  }
  assert.equal(plugin.cooling, false);
});

test("desired thresholds act at once and are reported", () => {
  const { host, plugin } = started();
  plugin.sample();
  wants(plugin, { on_above_c: 64, off_below_c: 55, fan: 3 }, true);
  assert.deepEqual(
    host.sent.map(({ values }) => values),
    [{ temperature: 65, cooling: true }],
  );
  assert.deepEqual(host.reported, { on_above_c: 64, off_below_c: 55, mode: "auto", cooling: true });
  wants(plugin, { on_above_c: null });
  assert.deepEqual(plugin.thresholds, { on_above_c: 70, off_below_c: 55 });
});

test("desired thresholds that make no sense are refused with words, and parts of them remembered", () => {
  const { host, plugin } = started();
  plugin.sample();
  wants(plugin, { on_above_c: 50 });
  assert.match(host.reported.refused, /off_below_c \(60\) must not be above on_above_c \(50\)/);
  assert.deepEqual(plugin.thresholds, { on_above_c: 70, off_below_c: 60 });
  wants(plugin, { off_below_c: 45 });
  assert.deepEqual(plugin.thresholds, { on_above_c: 50, off_below_c: 45 });
  assert.equal("refused" in host.reported, false);
  for (const hostile of ["50", [], {}, true]) {
    wants(plugin, { on_above_c: hostile });
    assert.deepEqual(plugin.thresholds, { on_above_c: 50, off_below_c: 45 });
  }
});

test("what a command set outlives a restart and a connection, until the twin wants something else", () => {
  const { host, plugin } = started();
  wants(plugin, { on_above_c: 80 }, true);
  plugin.handle(new Command("thresholds 50 40"));
  const again = started({ state: host.state }).plugin;
  wants(again, { on_above_c: 80 }, true);
  assert.deepEqual(again.thresholds, { on_above_c: 50, off_below_c: 40 });
  wants(again, { on_above_c: 90 });
  assert.deepEqual(again.thresholds, { on_above_c: 90, off_below_c: 60 });
});

test("thresholds that cannot be kept are not in force", () => {
  const full = Object.fromEntries(Array.from({ length: 64 }, (_, number) => [`k${number}`, new Uint8Array()]));
  const { host, plugin } = started({ state: full });
  assert.throws(() => plugin.handle(new Command("thresholds 50 40")), { kind: "quota" });
  assert.throws(() => wants(plugin, { on_above_c: 80 }, true), { kind: "quota" });
  assert.deepEqual(plugin.thresholds, { on_above_c: 70, off_below_c: 60 });
  delete host.state.k0;
  wants(plugin, { on_above_c: 80 }, true);
  assert.deepEqual(plugin.thresholds, { on_above_c: 80, off_below_c: 60 });
});

test("commands that make no sense are refused", () => {
  const { plugin } = started();
  for (const text of [
    "",
    "dance",
    "cooling",
    "cooling maybe",
    "thresholds",
    "thresholds 80",
    "thresholds 40 50",
    "thresholds x y",
  ]) {
    assert.throws(() => plugin.handle(new Command(text)), CommandFailed, text);
  }
});

test("the twin is written once for each change, and again after an outage", () => {
  const { host, plugin } = started({ connected: false });
  plugin.sample();
  assert.equal(host.reportedVersion, 1);
  host.connected = true;
  plugin.connectionChanged(true);
  plugin.sample();
  assert.equal(host.reportedVersion, 2);
});

test("a new version goes on with what was on", () => {
  const { host, plugin } = started();
  measures(host, plugin, 71);
  const saved = plugin.saveState();
  const next = started().plugin;
  next.restoreState(saved);
  assert.equal(next.sample().values.cooling, true);
  assert.throws(() => next.restoreState(new TextEncoder().encode('{"mode":"turbo"}')), Failure);
});
