import unittest

from edgeplug import Command, CommandFailed, Failure, Sample
from edgeplug.testing import Host
from plugin import Load


class LoadTest(unittest.TestCase):
    def started(self, loadavg: bytes) -> Load:
        self.enterContext(Host(config={"factor": "2"}, files={"/proc/loadavg": loadavg}))
        plugin = Load()
        plugin.start()
        return plugin

    def test_the_load_is_read_and_multiplied(self):
        self.assertEqual(self.started(b"0.52 0.58 0.59 1/389 12345\n").sample(), Sample(load=1.04))

    def test_what_is_no_number_is_an_error(self):
        for content in (b"busy\n", b""):
            with self.assertRaisesRegex(Failure, "holds no number"):
                self.started(content).sample()

    def test_ping_is_answered(self):
        plugin = self.started(b"0 0 0")
        self.assertEqual(plugin.handle(Command("1", "ping")), "pong")
        with self.assertRaisesRegex(CommandFailed, "dance"):
            plugin.handle(Command("2", "dance"))


if __name__ == "__main__":
    unittest.main()
