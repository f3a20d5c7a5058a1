import unittest

from edgeplug import Failure, Moment, Sample
from edgeplug.testing import Host
from wit_world.imports.device import Attribute, Kind, Model
from wit_world.imports.telemetry import Outcome_Rejected

from lines import BadLine, parsed
from weather import Weather

LOG = "/log"


def line(time: int, temperature: float, **more: object) -> bytes:
    rest = "".join(f', "{name}" : {value}' for name, value in more.items())
    return f'{{"time" : "{time}", "temperature_C" : {temperature}{rest}}}\n'.encode()


class Lines(unittest.TestCase):
    def test_a_line_becomes_a_reading(self):
        found = parsed(b'{"time":"1700000000.25","id":7,"humidity":63,"wind_dir_deg":158,"battery_ok":0,"x":"y"}', 7)
        values = {"humidity": 63.0, "wind_direction": 158.0, "battery_ok": False}
        self.assertEqual(found, Sample(values, time=Moment(1_700_000_000, 250_000_000)))

    def test_other_stations_and_other_devices_are_left_out(self):
        self.assertIsNone(parsed(b'{"time":"1","id":8,"humidity":63}', 7))
        self.assertIsNone(parsed(b'{"time":"1","power_W":63}', None))
        self.assertIsNone(parsed(b"  ", None))

    def test_what_is_no_reading_is_refused(self):
        for hostile in [
            b"{", b"[]", b"5", b"\xff\xfe", b"[" * 5000, b'{"time":"1","a":' + b"[" * 100,
            b'{"time":"1","humidity":"wet"}', b'{"time":"1","humidity":NaN}', b'{"time":"1","humidity":1e999}',
            b'{"time":"1","humidity":true}', b'{"time":"1","humidity":null}', b'{"time":"1","humidity":[1]}',
            b'{"humidity":1}', b'{"time":"2021-05-08 15:28:20","humidity":1}', b'{"time":"-5","humidity":1}',
            b'{"time":"999999999999","humidity":1}', b'{"time":"1.x","humidity":1}', b'{"time":"\xc2\xb2","humidity":1}',
            b'{"time":"1","humidity":' + b"9" * 4000 + b"}",
        ]:
            with self.assertRaises(BadLine, msg=hostile[:40]):
                parsed(hostile, None)


class Following(unittest.TestCase):
    def setUp(self):
        self.host = self.enterContext(Host(config={"log": LOG}, files={LOG: b""}))
        self.plugin = self.started()

    def started(self) -> Weather:
        plugin = Weather()
        plugin.start()
        return plugin

    def temperatures(self) -> list[float]:
        self.plugin.sample()
        seen = [sample.values["temperature"] for sample in self.host.sent]
        self.host.sent.clear()
        return seen

    def test_lines_are_sent_once_and_only_when_they_have_ended(self):
        self.host.files[LOG] = line(1, 20.5) + line(2, 20.6)[:-5]
        self.assertEqual(self.temperatures(), [20.5])
        self.assertEqual(self.temperatures(), [])
        self.host.files[LOG] = line(1, 20.5) + line(2, 20.6)
        self.assertEqual(self.temperatures(), [20.6])

    def test_a_restart_goes_on_where_the_last_run_ended(self):
        self.host.files[LOG] = line(1, 20.5)
        self.temperatures()
        self.host.files[LOG] += line(2, 20.6)
        self.plugin = self.started()
        self.assertEqual(self.temperatures(), [20.6])

    def test_what_was_repeated_is_sent_once(self):
        self.host.files[LOG] = line(1, 20.5) * 3 + line(2, 20.5)
        self.assertEqual(self.temperatures(), [20.5, 20.5])

    def test_a_rotated_log_is_read_to_its_end_and_the_new_one_from_its_beginning(self):
        self.host.files[LOG] = line(1, 20.5)
        self.temperatures()
        self.host.files[f"{LOG}.1"] = self.host.files[LOG] + line(2, 20.6) + line(3, 20.7).rstrip()
        self.host.files[LOG] = line(4, 20.8)
        self.assertEqual(self.temperatures(), [20.6, 20.7, 20.8])
        self.assertEqual(self.temperatures(), [])
        self.assertEqual(self.host.log, [])

    def test_a_log_that_was_copied_and_emptied_is_followed_too(self):
        self.host.files[LOG] = line(1, 20.5)
        self.temperatures()
        self.host.files[f"{LOG}.1"] = self.host.files[LOG]
        self.host.files[LOG] = b""
        self.assertEqual(self.temperatures(), [])
        self.host.files[LOG] = line(2, 20.6)
        self.assertEqual(self.temperatures(), [20.6])

    def test_what_cannot_be_found_after_a_rotation_is_said(self):
        self.host.files[LOG] = line(1, 20.5)
        self.temperatures()
        self.host.files[LOG] = line(4, 20.8)
        self.assertEqual(self.temperatures(), [20.8])
        self.assertIn("lines may have been lost", self.host.log[-1][1])

    def test_it_is_said_once(self):
        self.host.files[LOG] = line(1, 20.5)
        self.temperatures()
        self.host.files[LOG] = b""
        self.assertEqual(self.temperatures() + self.temperatures(), [])
        self.assertEqual(len(self.host.log), 1)

    def test_a_long_log_comes_in_parts(self):
        self.host.files[LOG] = b"".join(line(n, n) for n in range(20_000))
        seen = []
        while more := self.temperatures():
            seen += more
        self.assertEqual(seen, [float(n) for n in range(20_000)])

    def test_an_endless_line_is_skipped(self):
        self.host.files[LOG] = b"x" * 40_000 + b"\n" + line(1, 20.5)
        self.assertEqual(self.temperatures(), [20.5])

    def test_nothing_is_forgotten_while_the_store_takes_nothing(self):
        self.host.files[LOG] = line(1, 20.5)
        accepted, self.host.outcome = self.host.outcome, Outcome_Rejected("the store is full")
        with self.assertRaisesRegex(Failure, "the store is full"):
            self.plugin.sample()
        self.host.outcome = accepted
        self.assertEqual(self.temperatures(), [20.5])

    def test_readings_that_the_template_has_no_place_for_do_not_hold_up_the_others(self):
        self.host.files[LOG] = line(1, 20.5)
        self.host.template = Model([Attribute("humidity", Kind.NUMBER, "", "", [])], [], [], 0, False)
        accepted, self.host.outcome = self.host.outcome, Outcome_Rejected("no attribute `temperature`")
        self.plugin.sample()
        self.assertIn("1 readings", self.host.log[-1][1])
        self.host.outcome = accepted
        self.host.files[LOG] += line(2, 20.6)
        self.assertEqual(self.temperatures(), [20.6])

    def test_a_log_that_is_not_there_is_an_error_with_words(self):
        del self.host.files[LOG]
        with self.assertRaisesRegex(Failure, "/log does not exist"):
            self.plugin.sample()


if __name__ == "__main__":
    unittest.main()
