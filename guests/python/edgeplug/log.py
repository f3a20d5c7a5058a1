"""The plugin's voice in the daemon's log, under the plugin's own name. `logging` works as well: see `Handler`.

`print` and standard error arrive there too, line by line.
"""

from __future__ import annotations

import logging

from wit_world.imports import log as _host


def trace(message: str) -> None:
    """For each packet."""
    _host.log(_host.Level.TRACE, message)


def debug(message: str) -> None:
    """For each decision."""
    _host.log(_host.Level.DEBUG, message)


def info(message: str) -> None:
    """For each change of state."""
    _host.log(_host.Level.INFO, message)


def warn(message: str) -> None:
    """For what the operator should know."""
    _host.log(_host.Level.WARN, message)


def error(message: str) -> None:
    """For what wakes someone."""
    _host.log(_host.Level.ERROR, message)


class Handler(logging.Handler):
    """Sends the records of Python's `logging` to the daemon: `logging.basicConfig(handlers=[edgeplug.log.Handler()])`."""

    def emit(self, record: logging.LogRecord) -> None:
        for least, say in ((logging.ERROR, error), (logging.WARNING, warn), (logging.INFO, info), (logging.DEBUG, debug)):
            if record.levelno >= least:
                return say(self.format(record))
        trace(self.format(record))
