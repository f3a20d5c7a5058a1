"""The class that a plugin derives from, and what its methods take and return."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Union

from componentize_py_types import Err
from edgeplug import checks
from edgeplug.values import Sample
from wit_world.imports import firmware_file as _file

_PIECE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Command:
    """A command from the cloud."""

    id: str
    """Names it for `acks.finish`; the same when it is handled again after a crash of the daemon."""
    text: str
    """The whole text as it was sent, for instance `set-led-green off`."""
    device: str | None = None
    """The unique id of the child device it is meant for, None for the device itself."""

    @property
    def name(self) -> str:
        """The first word."""
        return (self.text.split(maxsplit=1) or [""])[0]

    @property
    def arguments(self) -> str:
        """Everything after the first word, trimmed."""
        return self.text.strip()[len(self.name) :].strip()


@dataclass(frozen=True)
class Reply:
    """What the cloud is told about a command: `Reply.done("…")`, `Reply.failed("why")`, or `DEFERRED`."""

    kind: str
    message: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", checks.text("the message of a reply", self.message))

    @classmethod
    def done(cls, message: str = "") -> Reply:
        """Carried out, with a message for whoever asked, at most 1000 characters."""
        return cls("done", message)

    @classmethod
    def failed(cls, message: str) -> Reply:
        """Not carried out, and why."""
        return cls("failed", message)


DEFERRED = Reply("deferred")
"""It takes longer than this call: `acks.finish` tells the end, within an hour."""


class Failure(Exception):
    """Raise it to tell the host an error in your own words. Any other exception does too, with its traceback in the log."""


class CommandFailed(Exception):
    """Raise it to tell the cloud that a command was not carried out; the plugin is well. Same as `Reply.failed`."""


@dataclass(frozen=True)
class DesiredChange:
    """A change of the desired properties of the twin."""

    version: int
    complete: bool
    """Whether `json` is all of it; otherwise only what changed, a member that was removed as null."""
    json: str
    """The text of a JSON object."""

    @property
    def values(self) -> dict[str, Any]:
        """The same as Python values."""
        return json.loads(self.json)


@dataclass(frozen=True)
class Firmware:
    """A file that was downloaded and verified for this plugin to install."""

    id: str
    """Names it for `acks.finish` and `acks.progress`."""
    device: str | None
    """The unique id of the child device it is meant for, None for the device itself."""
    name: str
    version: str
    size: int
    sha256: str

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes (at most 1 MiB) from `offset` on, fewer at the end, none behind it. An OSError says why not."""
        offset = checks.whole("the offset", offset, 0, checks.U64_MAX)
        length = checks.whole("the length", length, 0, checks.U32_MAX)
        try:
            return _file.read(checks.exact("the id", self.id), offset, length)
        except Err as error:
            raise OSError(f"{self.name}: {error.value}") from None

    def open(self) -> io.BufferedReader:
        """The content as a binary file object."""
        return io.BufferedReader(_Content(self), _PIECE_BYTES)


class _Content(io.RawIOBase):
    def __init__(self, firmware: Firmware) -> None:
        self._firmware = firmware
        self._at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._firmware.read(self._at, min(len(buffer), _PIECE_BYTES))
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


class Plugin:
    """A plugin. What a class overrides is exported; what it does not, the daemon does not ask it for.

    There is one object for one instance of the component, made before `start`, and one method is called at a time. An
    exception is told to the host as an error with its text (the traceback of any but `Failure` goes to the log); the
    plugin goes on. What ends the interpreter (`SystemExit`, exhausted memory) ends the instance, and the host starts a new one.
    """

    def start(self) -> None:
        """Called once, before anything else. An exception keeps the plugin from running; it is tried again later."""

    def stop(self) -> None:
        """Called once before the instance goes; there is a deadline."""

    def save_state(self) -> bytes | None:
        """Called when the file has changed: what the new version shall know, at most 1 MiB; b"" and None are nothing."""
        return b""

    def restore_state(self, saved: bytes) -> None:
        """Called on the new version after its `start`. An exception keeps the old version running."""

    def sample(self) -> Sample | Iterable[Sample] | None:
        """Called once per interval (`interval_s` in the manifest): one sample, several, or none."""
        raise NotImplementedError

    def handle(self, command: Command) -> Union[Reply, str, None]:
        """Called for every command from the cloud. A str is `Reply.done`, None is done without a message."""
        raise NotImplementedError

    def desired_changed(self, change: DesiredChange) -> None:
        """Called after every change of the twin's desired properties, and with all of them after each connect."""
        raise NotImplementedError

    def connection_changed(self, connected: bool, reason: str) -> None:
        """Called at every change of the connection to the cloud, and once after `start`."""
        raise NotImplementedError

    def update(self, firmware: Firmware) -> Union[Reply, str, None]:
        """Called for every verified firmware file."""
        raise NotImplementedError

    def transform(self, samples: list[Sample]) -> Iterable[Sample]:
        """Called with other plugins' samples on their way to the store: what shall be stored in their place."""
        raise NotImplementedError
