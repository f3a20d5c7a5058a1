import assert from "node:assert/strict";
import test from "node:test";

import Load from "./plugin.js";
import { Command, CommandFailed, Failure } from "./sdk/edgeplug.js";
import { play } from "./sdk/testing.js";

function started(loadavg) {
  play({ config: { factor: "2" }, files: { "/proc/loadavg": loadavg } });
  const plugin = new Load();
  plugin.start();
  return plugin;
}

test("the load is read and multiplied", () => {
  assert.deepEqual(started("0.52 0.58 0.59 1/389 12345\n").sample().values, { load: 1.04 });
});

test("what is no number is an error", () => {
  assert.throws(() => started("busy\n").sample(), Failure);
});

test("ping is answered", () => {
  const plugin = started("0 0 0");
  assert.equal(plugin.handle(new Command("ping")), "pong");
  assert.throws(() => plugin.handle(new Command("dance")), CommandFailed);
});
