"""What both programs share: the readings, the count of acknowledgements, the answer."""

import json
import sys
import threading
import time
from importlib.metadata import version


class Arguments:
    def __init__(self, argv):
        self.ca_file, self.cert_file, self.key_file = argv[0:3]
        self.port, self.in_flight = int(argv[3]), int(argv[4])
        self.warm_up_s, self.time_s = float(argv[5]), float(argv[6])


class Meter:
    """Counts acknowledgements and lets no more than `in_flight` be without one."""

    def __init__(self, in_flight):
        self.room = threading.Semaphore(in_flight)
        self.acknowledged = 0

    def done(self):
        self.acknowledged += 1
        self.room.release()


def readings(tick):
    """What the guest `ten-readings` returns."""
    return {f"r{n}": (2000 + 100 * n + tick % 1000) / 100 for n in range(10)}


def main(packages, run):
    if sys.argv[1] == "versions":
        found = {package: version(package) for package in packages}
        found["python"] = sys.version.split()[0]
        print(json.dumps(found))
        return
    print(json.dumps(run(Arguments(sys.argv[2:]))))


class Window:
    """From the end of the warm-up on: `over()` says when to stop, `answer()` what happened in between."""

    def __init__(self, arguments, count):
        self.count = count
        self.begin_at = time.monotonic() + arguments.warm_up_s
        self.end_at = self.begin_at + arguments.time_s
        self.begun = None

    def over(self):
        now = time.monotonic()
        if self.begun is None and now >= self.begin_at:
            self.begun = (now, time.process_time(), self.count())
        if now < self.end_at:
            return False
        begun, processor, count = self.begun
        self.answer = {
            "messages": self.count() - count,
            "seconds": now - begun,
            "processor_s": time.process_time() - processor,
        }
        return True
