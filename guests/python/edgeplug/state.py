"""A little memory that outlives the instance, the daemon and a power cut: at most 64 keys and 64 KiB in all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from componentize_py_types import Err
from edgeplug import checks
from wit_world.imports import state as _host

T = TypeVar("T")


class Error(Exception):
    """What was there is still there."""


class QuotaExceeded(Error):
    """More than 64 keys or 64 KiB; says which."""


class Unavailable(Error):
    """The store cannot be read or written at the moment."""


def get(key: str) -> bytes | None:
    """None when there is no such key."""
    return _told(lambda: _host.get(_key(key)))


def get_text(key: str) -> str | None:
    """The same as text in UTF-8."""
    value = get(key)
    return None if value is None else value.decode()


def set(key: str, value: bytes | str) -> None:  # noqa: A001: as the interface calls it
    """When it returns, the value is on disk. A str is kept in UTF-8."""
    value = value.encode() if isinstance(value, str) else checks.data(f"the value of {key!r}", value)
    _told(lambda: _host.set(_key(key), value))


def delete(key: str) -> None:
    """A key that is not there is no error."""
    _told(lambda: _host.delete(_key(key)))


def keys() -> list[str]:
    """Ordered."""
    return _told(_host.keys)


def _key(key: str) -> str:
    return checks.exact("a key", key)


def _told(call: Callable[[], T]) -> T:
    try:
        return call()
    except Err as error:
        kind = QuotaExceeded if isinstance(error.value, _host.Error_Quota) else Unavailable
        raise kind(error.value.value) from None
