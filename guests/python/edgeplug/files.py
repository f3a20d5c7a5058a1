"""Files of the machine, read-only: those that the manifest asks for (`files = […]`) and the operator allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from componentize_py_types import Err
from edgeplug import checks
from wit_world.imports import files as _host

T = TypeVar("T")


class TooLarge(OSError):
    """Larger than the host reads in one go; `limit` is that in bytes."""

    def __init__(self, path: str, limit: int) -> None:
        super().__init__(f"{path} is larger than {limit} bytes; read it in parts with read_at")
        self.limit = limit


def read(path: str) -> bytes:
    """The whole content, at most 1 MiB. PermissionError names the right that is missing; FileNotFoundError, TooLarge, OSError."""
    return _told(path, lambda: _host.read(_path(path)))


def read_text(path: str) -> str:
    """The same as text; what is no UTF-8 becomes replacement characters."""
    return read(path).decode(errors="replace")


def read_at(path: str, offset: int, length: int) -> bytes:
    """`length` bytes (at most 1 MiB) from `offset` on, fewer at the end, none behind it. For files that grow."""
    offset = checks.whole("the offset", offset, 0, checks.U64_MAX)
    length = checks.whole("the length", length, 0, checks.U32_MAX)
    return _told(path, lambda: _host.read_at(_path(path), offset, length))


def find(pattern: str) -> list[str]:
    """The granted paths that exist and fit; `*` is any run of characters and `?` one, neither of them `/`."""
    return _told(pattern, lambda: _host.find(_path(pattern)))


def _path(path: str) -> str:
    return checks.exact("a path", path)


def _told(path: str, call: Callable[[], T]) -> T:
    try:
        return call()
    except Err as error:
        match error.value:
            case _host.Error_Denied(reason):
                raise PermissionError(reason) from None
            case _host.Error_NotFound():
                raise FileNotFoundError(f"{path} does not exist") from None
            case _host.Error_TooLarge(limit):
                raise TooLarge(path, limit) from None
            case other:
                raise OSError(f"{path}: {other.value}") from None
