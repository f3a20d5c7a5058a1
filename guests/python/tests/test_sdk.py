"""The SDK under plain Python."""

import unittest
from datetime import datetime, timezone

from edgeplug import DEFERRED, CommandFailed, Failure, Firmware, LatLong, Moment, Plugin, Reply, Sample
from edgeplug import acks, config, device, files, hardware, log, state, telemetry, testing, twin
from edgeplug.exports import classes, interfaces
from edgeplug.values import from_wire, to_wire
from componentize_py_types import Err
from wit_world.imports import telemetry as wire_telemetry
from wit_world.imports import types as wire


class Everything(Plugin):
    def sample(self):
        return [Sample(calls=1), Sample({"a b": 2.5}, device="child")]

    def handle(self, command):
        match command.name:
            case "text":
                return "told"
            case "nothing":
                return None
            case "later":
                return DEFERRED
            case "raise":
                raise CommandFailed("too hot")
            case "break":
                raise ValueError("broken")
            case _:
                return Reply.failed(f"no command {command.name} ({command.arguments})")


class Samples(unittest.TestCase):
    def test_every_kind_of_value_goes_there_and_back(self):
        time = datetime(2023, 11, 14, 22, 13, 20, 123456, timezone.utc)
        sample = Sample(
            on=True, count=-7, ratio=0.1, name="Füße", place=LatLong(1.0, 2.0), axes={"x": 1, "ok": False},
            device="child", time=time,
        )
        self.assertEqual(sample.time, Moment(1_700_000_000, 123_456_000))
        made = to_wire(sample)
        self.assertEqual(made.values[0], ("on", wire.Value_Boolean(True)))
        self.assertEqual(made.values[1], ("count", wire.Value_Integer(-7)))
        self.assertEqual(from_wire(made), sample)

    def test_what_does_not_fit_is_refused_by_name(self):
        for values, error, words in [
            ({"n": 1 << 63}, OverflowError, "n is 9223372036854775808"),
            ({"o": {"n": -(1 << 63) - 1}}, OverflowError, "o.n is"),
            ({"l": [1]}, TypeError, "l is a list"),
            ({"o": {"d": {}}}, TypeError, "o.d is a dict"),
        ]:
            with self.assertRaisesRegex(error, words):
                to_wire(Sample(values))

    def test_a_time_without_a_zone_is_refused(self):
        with self.assertRaisesRegex(ValueError, "zone"):
            Sample(time=datetime(2023, 11, 14))

    def test_times_before_1970_count_forward(self):
        before = datetime(1969, 12, 31, 23, 59, 58, 500_000, timezone.utc)
        self.assertEqual(Moment.of(before), Moment(-2, 500_000_000))


class Slips(unittest.TestCase):
    """What the glue of the interface would end the interpreter for."""

    def test_what_is_of_another_type_is_an_exception(self):
        firmware = Firmware("u1", None, "fw", "1", 4, "")
        for slip in [
            lambda: Moment(1.5),
            lambda: Moment(1, 0.5),
            lambda: LatLong("52.5", 13.4),
            lambda: Reply.done(5),
            lambda: telemetry.send(5),
            lambda: telemetry.send([5]),
            lambda: telemetry.send(Sample(x=1, device=5)),
            lambda: telemetry.send(Sample(x=1, time=5)),
            lambda: telemetry.send(Sample({5: 1})),
            lambda: telemetry.send(Sample(x={5: 1})),
            lambda: acks.finish("c1", "done"),
            lambda: acks.finish(5, Reply.done()),
            lambda: acks.progress("c1", 50.5),
            lambda: acks.progress("c1", 50, 5),
            lambda: files.read(5),
            lambda: files.find(None),
            lambda: files.read_at("/a", "0", 5),
            lambda: files.read_at("/a", 0, None),
            lambda: firmware.read(0.5, 1),
            lambda: state.get(5),
            lambda: state.set("a", None),
            lambda: state.set("a", 5),
            lambda: state.delete(b"a"),
            lambda: config.get(5),
            lambda: hardware.i2c("bus", 0x40, ["a"]),
            lambda: hardware.gpio_wait("line", "rising", 5),
            lambda: hardware.serial_write("port", "text"),
        ]:
            with testing.Host(files={"/a": b"1"}), self.assertRaises(TypeError):
                slip()

    def test_what_is_out_of_range_is_an_exception(self):
        firmware = Firmware("u1", None, "fw", "1", 4, "")
        for slip in [
            lambda: Moment(1, -5),
            lambda: Moment(1, 1_000_000_000),
            lambda: Moment(1 << 63),
            lambda: acks.progress("c1", 300),
            lambda: acks.progress("c1", -1),
            lambda: files.read_at("/a", -1, 5),
            lambda: files.read_at("/a", 0, 1 << 32),
            lambda: firmware.read(0, -1),
            lambda: hardware.i2c("bus", 0x1_0000, []),
        ]:
            with testing.Host(files={"/a": b"1"}, firmware={"u1": b"EPFW"}), self.assertRaises(ValueError):
                slip()

    def test_half_a_surrogate_pair_leaves_as_a_question_mark(self):
        bad, good = "21 \udc80", "21 ?"
        with testing.Host() as host:
            log.info(bad)
            telemetry.send(Sample({bad: bad, "o": {bad: bad}}, device=bad))
            twin.report({bad: bad})
            acks.progress("c1", 50, bad)
            acks.finish("c1", Reply.failed(bad))
            self.assertEqual(host.log, [("info", good)])
            self.assertEqual(host.sent, [Sample({good: good, "o": {good: good}}, device=good)])
            self.assertEqual(host.reported, {good: good})
            self.assertEqual(host.progress, [("c1", 50, good)])
            self.assertEqual(host.finished, {"c1": wire.Ending_Failed(good)})

    def test_half_a_surrogate_pair_names_nothing(self):
        for slip in [
            lambda: files.read("/a\udc80"),
            lambda: state.set("a\udc80", "value"),
            lambda: state.set("a", "value\udc80"),
            lambda: config.get("a\udc80"),
            lambda: acks.finish("c\udc80", Reply.done()),
        ]:
            with testing.Host(), self.assertRaises(ValueError):
                slip()

    def test_an_answer_leaves_as_text_too(self):
        class Bad(Plugin):
            def sample(self):
                raise Failure("21 \udc80")

            def handle(self, command):
                if command.name == "fail":
                    raise CommandFailed("21 \udc80")
                return "21 \udc80"

        made = classes(Bad)
        with self.assertRaises(Err) as raised:
            made["Sensor"]().sample()
        self.assertEqual(raised.exception.value, "21 ?")
        self.assertEqual(made["Commands"]().handle(mock_command("go")), wire.Reply_Done("21 ?"))
        self.assertEqual(made["Commands"]().handle(mock_command("fail")), wire.Reply_Failed("21 ?"))

    def test_a_message_in_the_log_may_be_anything(self):
        with testing.Host() as host:
            log.warn(5)
            log.error(ValueError("broken"))
            self.assertEqual(host.log, [("warn", "5"), ("error", "broken")])


class Exports(unittest.TestCase):
    def test_what_a_class_overrides_is_exported(self):
        self.assertEqual(interfaces(Everything), ["sensor", "commands"])
        self.assertEqual(
            sorted(classes(Everything)),
            ["Commands", "ConnectionEvents", "Firmware", "Lifecycle", "Sensor", "Transform", "TwinEvents"],
        )

    def test_replies(self):
        commands = classes(Everything)["Commands"]()
        for text, reply in [
            ("text", wire.Reply_Done("told")),
            ("nothing", wire.Reply_Done("")),
            ("later", wire.Reply_Deferred()),
            ("raise", wire.Reply_Failed("too hot")),
            ("dance  now ", wire.Reply_Failed("no command dance (now)")),
        ]:
            command = mock_command(text)
            self.assertEqual(commands.handle(command), reply)
        with self.assertRaises(Err) as raised:
            commands.handle(mock_command("break"))
        self.assertEqual(raised.exception.value, "broken")

    def test_one_sample_a_list_and_nothing(self):
        self.assertEqual(len(classes(Everything)["Sensor"]().sample()), 2)

        class One(Plugin):
            def sample(self):
                return Sample(a=1)

        self.assertEqual(len(classes(One)["Sensor"]().sample()), 1)

    def test_what_is_saved_is_bytes_or_nothing(self):
        class Saves(Plugin):
            saved = None

            def save_state(self):
                return self.saved

        lifecycle = classes(Saves)["Lifecycle"]()
        for saved, told in [(None, b""), (b"abc", b"abc"), (bytearray(b"abc"), b"abc")]:
            Saves.saved = saved
            self.assertEqual(lifecycle.save_state(), told)
        for saved in (5, "abc"):
            Saves.saved = saved
            with self.assertRaisesRegex(Err, "it wants bytes"):
                lifecycle.save_state()

    def test_a_plugin_that_does_not_start_says_why_every_time(self):
        class Bad(Plugin):
            def start(self):
                raise RuntimeError("no bus")

            def sample(self):
                return None

        made = classes(Bad)
        for call in (made["Lifecycle"]().start, made["Sensor"]().sample):
            with self.assertRaises(Err) as raised:
                call()
            self.assertEqual(raised.exception.value, "no bus")


class PlayedHost(unittest.TestCase):
    def test_it_answers_like_the_real_one(self):
        with testing.Host(config={"n": "3", "bad": "x"}, files={"/sys/a/temp": b"1"}) as host:
            self.assertEqual(config.parsed("n", int, 0), 3)
            self.assertEqual(config.get("missing", "default"), "default")
            with self.assertRaisesRegex(ValueError, "`bad`"):
                config.parsed("bad", int, 0)
            self.assertEqual(files.find("/sys/*/temp"), ["/sys/a/temp"])
            self.assertEqual(files.find("/sys/*"), [])
            with self.assertRaises(FileNotFoundError):
                files.read("/other")
            self.assertTrue(all(telemetry.send([Sample(a=1)])))
            host.outcome = wire_telemetry.Outcome_Rejected("full")
            outcome = telemetry.send(Sample(a=2))[0]
            self.assertFalse(outcome)
            self.assertEqual(str(outcome), "rejected: full")
            self.assertEqual(host.sent, [Sample(a=1)])
            state.set("k", "ü")
            self.assertEqual((state.get("k"), state.get_text("k"), state.keys()), ("ü".encode(), "ü", ["k"]))
            self.assertEqual(twin.report({"on": True}), 2)
            self.assertEqual(twin.get().reported_values, {"on": True})
            host.connected = False
            with self.assertRaises(twin.Unavailable):
                twin.get()
            acks.finish("c1", Reply.done("late"))
            self.assertEqual(host.finished, {"c1": wire.Ending_Done("late")})
            log.warn("hot")
            self.assertEqual(host.log, [("warn", "hot")])


    def test_it_has_the_limits_of_the_real_one(self):
        firmware = Firmware("u1", None, "fw", "1", 4, "")
        with testing.Host(files={"/a": b"1"}) as host:
            with self.assertRaises(files.TooLarge):
                files.read_at("/a", 0, (1 << 20) + 1)
            with self.assertRaisesRegex(OSError, "no update"):
                firmware.read(0, 10)
            for key, value in [("", b""), ("k" * 129, b""), ("k", bytes(64 << 10))]:
                with self.assertRaises(state.QuotaExceeded):
                    state.set(key, value)
            for number in range(64):
                state.set(f"k{number}", b"")
            with self.assertRaises(state.QuotaExceeded):
                state.set("one more", b"")
            with self.assertRaises(PermissionError):
                device.disconnect()
            host.may_disconnect = True
            device.disconnect()
            self.assertFalse(host.connected)


def mock_command(text):
    from wit_world.exports.commands import Command

    return Command("id", text, None)


if __name__ == "__main__":
    unittest.main()
