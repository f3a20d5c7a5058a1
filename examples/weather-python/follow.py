"""Follows a log that grows and is rotated, from where the last run left off.

A file is known by its first bytes: when they are others, the log was rotated. What was still unread is then looked for in
`PATH.1`, which logrotate makes, before the new file is begun; both its ways, to rename and to copy, end up the same.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from edgeplug import files, log, state

KEY = "position"
HEAD_BYTES = 128
CHUNK_BYTES = 16 * 1024
"""Holds fewer than 1000 lines with a reading in them, which is what `telemetry.send` takes."""


@dataclass(frozen=True)
class Position:
    """How far a file was read; `head` is its first bytes as hexadecimal digits."""

    offset: int = 0
    head: str = ""


class Follower:
    """`read` returns lines, `keep` remembers that they are dealt with; without it the next `read` returns them again."""

    def __init__(self, path: str) -> None:
        self.path = path
        kept = state.get_text(KEY)
        self._kept = Position(**json.loads(kept)) if kept else Position()
        self._read = self._kept

    def read(self) -> list[bytes] | None:
        """Whole lines, without their ends; None when there is nothing more. An OSError says why the log cannot be read."""
        position = self._kept
        head = self._head(self.path)
        if not head.startswith(position.head):
            lines = self._rest_of_rotated(position)
            if lines is not None:
                return lines
            position = Position()
        # A short file's head grows with it.
        position = Position(position.offset, head)
        chunk = files.read_at(self.path, position.offset, CHUNK_BYTES)
        end = chunk.rfind(b"\n") + 1
        if end == 0 and len(chunk) == CHUNK_BYTES:
            log.warn(f"{self.path} holds a line longer than {CHUNK_BYTES} bytes at {position.offset}; skipped")
            end = CHUNK_BYTES
        self._read = Position(position.offset + end, head)
        return chunk[:end].splitlines() if end else None

    def keep(self) -> None:
        """What was read is dealt with."""
        if self._read != self._kept:
            state.set(KEY, json.dumps(asdict(self._read)))
            self._kept = self._read

    def _rest_of_rotated(self, position: Position) -> list[bytes] | None:
        rotated = f"{self.path}.1"
        try:
            found = self._head(rotated).startswith(position.head)
            # It does not grow any more, so an end without a line's end is an end too.
            chunk = files.read_at(rotated, position.offset, CHUNK_BYTES) if found else b""
        except OSError as error:
            log.warn(f"{self.path} was rotated, and lines may have been lost: {error}")
            return None
        if not found:
            log.warn(f"{self.path} was rotated, and lines may have been lost: {rotated} is not what was read last")
        if not chunk:
            return None
        end = chunk.rfind(b"\n") + 1 if len(chunk) == CHUNK_BYTES else len(chunk)
        self._read = Position(position.offset + (end or len(chunk)), position.head)
        return chunk[: end or len(chunk)].splitlines()

    @staticmethod
    def _head(path: str) -> str:
        return files.read_at(path, 0, HEAD_BYTES).hex()
