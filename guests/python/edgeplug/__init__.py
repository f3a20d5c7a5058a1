"""Write plugins for the Edgeplug daemon in Python.

A plugin is one class that derives from `Plugin`; the methods it has are the interfaces it exports.

    from edgeplug import Plugin, Sample, files

    class Load(Plugin):
        def sample(self):
            text = files.read_text("/proc/loadavg")
            return Sample(load=float(text.split()[0]))

`python3 sdk/build.py plugin.py -o load.wasm` makes the component. The same class runs under plain Python, against the
host that `edgeplug.testing` plays.
"""

from edgeplug import acks, config, device, files, hardware, log, state, telemetry, twin
from edgeplug.plugin import DEFERRED, Command, CommandFailed, DesiredChange, Failure, Firmware, Plugin, Reply
from edgeplug.values import LatLong, Moment, Sample, Value

__all__ = [
    "DEFERRED",
    "Command",
    "CommandFailed",
    "DesiredChange",
    "Failure",
    "Firmware",
    "LatLong",
    "Moment",
    "Plugin",
    "Reply",
    "Sample",
    "Value",
    "acks",
    "config",
    "device",
    "files",
    "hardware",
    "log",
    "state",
    "telemetry",
    "twin",
]
