"""The plugin's settings: the `[config]` table of its manifest. All values are text."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, overload

from edgeplug import checks
from wit_world.imports import config as _host

T = TypeVar("T")


@overload
def get(key: str) -> str | None: ...
@overload
def get(key: str, default: str) -> str: ...


def get(key: str, default: str | None = None) -> str | None:
    """The value of one key, `default` when the manifest does not have it."""
    value = _get(key)
    return default if value is None else value


def parsed(key: str, parse: Callable[[str], T], default: T) -> T:
    """The value of one key as `parse` reads it (`int`, `float`, …); a value it cannot read is a ValueError that names the key."""
    value = _get(key)
    if value is None:
        return default
    try:
        return parse(value)
    except (ValueError, TypeError) as error:
        raise ValueError(f"[config] `{key}` is {value!r}: {error}") from None


def all() -> dict[str, str]:  # noqa: A001: as the interface calls it
    """Every key with its value, ordered by key."""
    return dict(_host.all())


def _get(key: str) -> str | None:
    return _host.get(checks.exact("a key", key))
