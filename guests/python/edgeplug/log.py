"""The plugin's voice in the daemon's log, under the plugin's own name. `logging` works as well: see `Handler`.

As with `print`, a message may be anything that has a text.

`print` and standard error arrive there too, line by line.
"""

from __future__ import annotations

import logging

from edgeplug import checks
from wit_world.imports import log as _host


def trace(message: object) -> None:
    """For each packet."""
    _log(_host.Level.TRACE, message)


def debug(message: object) -> None:
    """For each decision."""
    _log(_host.Level.DEBUG, message)


def info(message: object) -> None:
    """For each change of state."""
    _log(_host.Level.INFO, message)


def warn(message: object) -> None:
    """For what the operator should know."""
    _log(_host.Level.WARN, message)


def error(message: object) -> None:
    """For what wakes someone."""
    _log(_host.Level.ERROR, message)


class Handler(logging.Handler):
    """Sends the records of Python's `logging` to the daemon: `logging.basicConfig(handlers=[edgeplug.log.Handler()])`."""

    def emit(self, record: logging.LogRecord) -> None:
        for least, say in ((logging.ERROR, error), (logging.WARNING, warn), (logging.INFO, info), (logging.DEBUG, debug)):
            if record.levelno >= least:
                return say(self.format(record))
        trace(self.format(record))


def _log(level: _host.Level, message: object) -> None:
    _host.log(level, checks.well_formed(str(message)))
