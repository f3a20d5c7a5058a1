"""Sends what a radio weather station measures: follows the log that `rtl_433 -F json:FILE -M time:unix:utc` writes.

Every line is sent with the time it was received at, once it is in the log for good (its line has ended). What was sent is
remembered after the daemon has stored it, so that a crash sends a few lines twice and loses none.
"""

from edgeplug import Failure, Plugin, Sample, config, device, log, telemetry
from follow import Follower
from lines import BadLine, parsed

CHUNKS_MAX = 16
"""Read in one call; what is left comes with the next."""


class Weather(Plugin):
    def start(self) -> None:
        path = config.get("log")
        if path is None:
            raise Failure("[config] `log` is missing: the file that rtl_433 writes")
        self.station = config.parsed("station", int, None)
        self.log = Follower(path)

    def sample(self) -> None:
        for _ in range(CHUNKS_MAX):
            try:
                lines = self.log.read()
            except OSError as error:
                raise Failure(str(error)) from None
            if lines is not None:
                self._send(lines)
            self.log.keep()
            if lines is None:
                return

    def _send(self, lines: list[bytes]) -> None:
        samples, bad = [], []
        for before, line in zip([None, *lines], lines):
            # A station sends everything two or three times, and rtl_433 hears it as often.
            if line == before:
                continue
            try:
                sample = parsed(line, self.station)
            except BadLine as error:
                bad.append(str(error))
                continue
            if sample is not None:
                samples.append(sample)
        if bad:
            log.warn(f"{len(bad)} lines of {self.log.path} could not be read; the first {bad[0]}")
        rejected = [outcome for outcome in telemetry.send(samples) if outcome.kind == "rejected"] if samples else []
        if rejected and len(rejected) == len(samples) and _have_a_place(samples):
            # Nothing was taken, so nothing is remembered: the next call sends the same again.
            raise Failure(f"no reading was taken: {rejected[0].reason}")
        if rejected:
            log.warn(f"{len(rejected)} of {len(samples)} readings were not taken; the first: {rejected[0].reason}")


def _have_a_place(samples: list[Sample]) -> bool:
    """Whether the device template declares any of these attributes. What has no place will not be taken later either."""
    template = device.template()
    if template is None:
        return True
    declared = {attribute.name for attribute in template.attributes}
    return any(not declared.isdisjoint(sample.values) for sample in samples)
