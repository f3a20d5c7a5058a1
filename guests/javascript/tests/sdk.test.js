// The SDK under plain Node: `node --test guests/javascript/tests/`.
import assert from "node:assert/strict";
import test from "node:test";

import {
  Command,
  CommandFailed,
  DEFERRED,
  DesiredChange,
  Failure,
  Firmware,
  LatLong,
  Moment,
  Reply,
  RoundedInteger,
  Sample,
  acks,
  config,
  decode,
  device,
  encode,
  files,
  hardware,
  log,
  number,
  state,
  telemetry,
  twin,
} from "../edgeplug.js";
import { exported, interfaces } from "../src/exports.js";
import { play } from "../testing.js";

const wire = (value) => new Sample({ a: value }).toWire().values[0][1];

test("every kind of value is sent as what it is", () => {
  for (const [value, tag, val] of [
    [true, "boolean", true],
    [-7, "integer", -7],
    [7n, "integer", 7],
    [2 ** 53 - 1, "integer", 2 ** 53 - 1],
    [0.1, "number", 0.1],
    [-0, "number", -0],
    [NaN, "number", NaN],
    [Number.MAX_VALUE, "number", Number.MAX_VALUE],
    [number(21), "number", 21],
    [number(2n ** 60n), "number", 2 ** 60],
    ["a\ud800", "text", "a\ufffd"],
    [new LatLong(1, 2), "lat-long", { latitude: 1, longitude: 2 }],
    [
      { x: 1, ok: false },
      "object",
      [
        ["x", { tag: "integer", val: 1 }],
        ["ok", { tag: "boolean", val: false }],
      ],
    ],
  ]) {
    assert.deepEqual(wire(value), { tag, val });
  }
});

test("what cannot be sent is refused by name", () => {
  for (const [values, words] of [
    [{ n: 2 ** 53 }, /^RangeError: n is 9007199254740992, an integer beyond 53 bits/],
    [{ n: -(2n ** 63n) }, /^RangeError: n is -9223372036854775808/],
    [{ o: { n: 2n ** 53n } }, /^RangeError: o\.n is/],
    [{ l: [1] }, /^TypeError: l is an array/],
    [{ l: new Map() }, /^TypeError: l is of type Map/],
    [{ o: { d: {} } }, /^TypeError: o\.d is of type Object/],
    [{ u: undefined }, /^TypeError: u is undefined/],
    [{ u: null }, /^TypeError: u is null/],
  ]) {
    assert.throws(
      () => new Sample(values).toWire(),
      (error) => words.test(String(error)),
      String(words),
    );
  }
});

test("times are kept to the nanosecond and count forward before 1970", () => {
  const time = (time) => new Sample({}, { time }).toWire().time;
  assert.deepEqual(time(new Date(1_700_000_000_123)), { seconds: 1_700_000_000, nanoseconds: 123_000_000 });
  assert.deepEqual(time(new Date(-1500)), { seconds: -2, nanoseconds: 500_000_000 });
  assert.deepEqual(time(new Moment(1, 999_999_999)), { seconds: 1, nanoseconds: 999_999_999 });
  assert.equal(new Moment(-2, 500_000_000).toDate().getTime(), -1500);
  assert.throws(() => time(new Date(NaN)), RangeError);
  assert.throws(() => time(12), /TypeError: the time of a sample/);
  assert.throws(() => new Moment(1.5), RangeError);
});

test("a transform hands back untouched what it did not change", () => {
  const came = {
    device: "child",
    time: { seconds: -1, nanoseconds: 1 },
    values: [
      ["whole", { tag: "number", val: 2 }],
      ["count", { tag: "integer", val: 2 }],
      ["place", { tag: "lat-long", val: { latitude: 1, longitude: 2 } }],
      ["axes", { tag: "object", val: [["x", { tag: "number", val: 3 }]] }],
      ["__proto__", { tag: "text", val: "a name like any other" }],
    ],
  };
  const sample = Sample.fromWire(came);
  assert.equal(sample.values.whole, 2);
  assert.throws(() => (sample.values.axes.x = 4), TypeError);
  assert.deepEqual(sample.toWire(), came);
  sample.values.whole = 4;
  assert.deepEqual(sample.toWire().values[0], ["whole", { tag: "integer", val: 4 }]);
});

test("integers that arrived rounded are not sent back", () => {
  const max = { tag: "integer", val: 2 ** 63 };
  const values = [
    ["max", max],
    ["o", { tag: "object", val: [["n", max]] }],
  ];
  const sample = Sample.fromWire({ device: null, time: null, values });
  assert.ok(sample.values.max instanceof RoundedInteger);
  assert.throws(() => sample.toWire(), /max is an integer beyond 53 bits/);
  delete sample.values.max;
  assert.throws(() => sample.toWire(), /o\.n is an integer beyond 53 bits/);
  sample.values.o = "left out";
  assert.deepEqual(sample.toWire().values, [["o", { tag: "text", val: "left out" }]]);
  assert.throws(() => new DesiredChange("{}", { version: 2 ** 53 }), RangeError);
});

test("bytes and text go there and back as Node does it", () => {
  const hostile = ["", "plain", "ü☃𝄞\0", "f".repeat(10_000) + "ü"].map((text) => new TextEncoder().encode(text));
  for (const bytes of [
    [0xff],
    [0xc3],
    [0xe2, 0x98],
    [0xe2, 0x98, 0x41],
    [0xed, 0xa0, 0x80],
    [0xf0, 0x80, 0x80, 0x80],
    [0xf4, 0x90, 0x80, 0x80],
    [0xc0, 0xaf],
    [0x41, 0xf0, 0x9f, 0x41, 0xc3, 0xbc],
    [0xf8, 0x88, 0x80, 0x80, 0x80],
  ]) {
    hostile.push(Uint8Array.from(bytes));
  }
  for (const bytes of hostile) {
    // Node's decoder would take a byte order mark off.
    assert.equal(decode(bytes), new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes), String(bytes));
  }
  assert.deepEqual(encode("ü☃𝄞\ud800"), new TextEncoder().encode("ü☃𝄞\ud800"));
});

class Everything {
  sample() {
    return [new Sample({ calls: 1 }), new Sample({ b: 2.5 }, { device: "child" })];
  }

  handle(command) {
    switch (command.name) {
      case "text":
        return "told";
      case "nothing":
        return;
      case "later":
        return DEFERRED;
      case "throw":
        throw new CommandFailed("too hot");
      case "break":
        throw new TypeError("broken");
      case "fail":
        throw new Failure("the bus is gone");
      case "number":
        return 5;
      default:
        return Reply.failed(`no command ${command.name} (${command.arguments})`);
    }
  }
}

test("what a class has is exported", () => {
  assert.deepEqual(interfaces(Everything), ["sensor", "commands"]);
  assert.deepEqual(
    interfaces(
      class {
        stop() {}
      },
    ),
    ["lifecycle"],
  );
  assert.deepEqual(interfaces(class {}), []);
});

test("replies, and errors with their stacks", () => {
  const complaints = [];
  const { commands } = exported(Everything, (thrown) => complaints.push(thrown.message));
  const handle = (text) => commands.handle({ id: "1", text, device: null });
  assert.deepEqual(handle("text"), { tag: "done", val: "told" });
  assert.deepEqual(handle("nothing"), { tag: "done", val: "" });
  assert.deepEqual(handle("later"), { tag: "deferred" });
  assert.deepEqual(handle("throw"), { tag: "failed", val: "too hot" });
  assert.deepEqual(handle(" dance  now "), { tag: "failed", val: "no command dance (now)" });
  const thrown = (text) => {
    try {
      return handle(text);
    } catch (error) {
      return error;
    }
  };
  assert.equal(thrown("break"), "broken");
  assert.equal(thrown("fail"), "the bus is gone");
  assert.equal(thrown("number"), "a reply is a Reply, a string or nothing, not a number");
  assert.deepEqual(complaints, ["broken", "a reply is a Reply, a string or nothing, not a number"]);
});

test("readings may be one, a list or none, and nothing else", () => {
  const sampled = (answer) =>
    exported(
      class {
        sample() {
          return answer;
        }
      },
      () => {},
    ).sensor.sample();
  assert.equal(sampled(new Sample({ a: 1 })).length, 1);
  assert.equal(sampled([new Sample({ a: 1 }), new Sample({ a: 2 })]).length, 2);
  assert.deepEqual(sampled(undefined), []);
  for (const [answer, words] of [
    [[{ a: 1 }], /a Sample/],
    [Promise.resolve(), /promise/],
  ]) {
    assert.throws(
      () => sampled(answer),
      (text) => words.test(text),
    );
  }
});

test("a plugin that does not start says why every time", () => {
  class Bad {
    start() {
      throw new Failure("no bus");
    }

    sample() {}
  }
  const { lifecycle, sensor } = exported(Bad, () => {});
  for (const call of [lifecycle.start, sensor.sample]) assert.throws(call, (text) => text === "no bus");
});

test("what the interface would not take is refused by name", () => {
  play({ files: { "/a": "1" }, firmware: { u1: "EPFW" } });
  const firmware = new Firmware({ id: "u1", name: "fw", size: 4 });
  for (const slip of [
    () => files.readAt("/a", -1, 5),
    () => files.readAt("/a", 1e30, 5),
    () => files.readAt("/a", 0.5, 5),
    () => files.readAt("/a", "0", 5),
    () => files.readAt("/a"),
    () => files.readAt("/a", 0, -1),
    () => files.readAt("/a", 0, 2 ** 32),
    () => files.readAt("/a", 0, NaN),
    () => firmware.read(-1, 5),
    () => firmware.read(0, undefined),
    () => hardware.i2c("bus", 0x1_0000, []),
    () => hardware.i2c("bus", 0x40, [-1]),
    () => hardware.serial.read("port", 1, Infinity),
  ]) {
    assert.throws(slip, { name: "RangeError", message: /it wants a whole number from 0 to / }, String(slip));
  }
  for (const slip of [
    () => hardware.i2c("bus", 0x40, ["a"]),
    () => hardware.gpio.wait("line", "up", 5),
    () => hardware.serial.write("port", "text"),
  ]) {
    assert.throws(slip, TypeError, String(slip));
  }
});

test("the played host has the limits of the real one", () => {
  const host = play({ files: { "/a": "1" } });
  assert.throws(() => files.readAt("/a", 0, 2 ** 20 + 1), { kind: "too-large" });
  for (const [key, value] of [
    ["", ""],
    ["k".repeat(129), ""],
    ["k", new Uint8Array(64 << 10)],
  ]) {
    assert.throws(() => state.set(key, value), { kind: "quota" });
  }
  for (let number = 0; number < 64; number++) state.set(`k${number}`, "");
  assert.throws(() => state.set("one more", ""), { kind: "quota" });
  assert.throws(() => device.disconnect(), { name: "Denied" });
  host.mayDisconnect = true;
  device.disconnect();
  assert.equal(device.connected(), false);
});

test("the played host answers like the real one", () => {
  const host = play({ config: { n: "3", bad: "x" }, files: { "/sys/a/temp": "1" } });
  assert.equal(config.number("n", 0), 3);
  assert.equal(config.get("toString"), null);
  assert.throws(() => config.number("bad", 0), /`bad` is "x"/);
  assert.deepEqual(files.find("/sys/*/temp"), ["/sys/a/temp"]);
  assert.deepEqual(files.find("/sys/*"), []);
  assert.throws(() => files.read("/other"), { name: "FileError", kind: "not-found" });
  host.outcome = "rejected: full";
  const [outcome] = telemetry.send(new Sample({ a: 2 }));
  assert.equal(outcome.taken, false);
  assert.equal(`${outcome}`, "rejected: full");
  host.outcome = "accepted";
  assert.equal(telemetry.send([new Sample({ a: 1 })])[0].taken, true);
  assert.deepEqual(
    host.sent.map(({ values }) => values),
    [{ a: 1 }],
  );
  state.set("k", "ü");
  assert.deepEqual([state.getText("k"), state.keys()], ["ü", ["k"]]);
  state.delete("k");
  assert.equal(state.get("k"), null);
  assert.equal(twin.report({ on: true }), 2);
  assert.deepEqual(twin.get().reportedValues, { on: true });
  host.connected = false;
  assert.throws(() => twin.get(), { name: "TwinError", kind: "unavailable" });
  acks.finish("c1", Reply.done("late"));
  assert.deepEqual(host.finished, { c1: Reply.done("late") });
  assert.throws(() => acks.progress("c1", 101), RangeError);
  log.warn("hot");
  assert.deepEqual(host.log, [["warn", "hot"]]);
  assert.equal(new Command("set 5 ").arguments, "5");
});
