"""Measures how busy the machine is. A plugin to start from."""

from edgeplug import Command, CommandFailed, Failure, Plugin, Sample, config, files, log

LOADAVG = "/proc/loadavg"
"""What the manifest asks to read."""


class Load(Plugin):
    def start(self) -> None:
        # From the manifest; readings are multiplied by it.
        self.factor = config.parsed("factor", float, 1.0)
        log.info(f"started with a factor of {self.factor}")

    def sample(self) -> Sample:
        text = files.read_text(LOADAVG)
        try:
            load = float(text.split()[0])
        except (IndexError, ValueError):
            raise Failure(f"{LOADAVG} holds no number: {text!r}") from None
        return Sample(load=load * self.factor)

    def handle(self, command: Command) -> str:
        if command.name == "ping":
            return "pong"
        raise CommandFailed(f"there is no command {command.name!r}; there is: ping")
