"""What leaves the plugin is checked here, and by nothing behind it: the glue of the interface ends the interpreter where a
value is not what the interface wants, and names no line of Python. An exception here is one that the plugin can catch.
"""

from __future__ import annotations

import operator
from typing import Any

U16_MAX = (1 << 16) - 1
U32_MAX = (1 << 32) - 1
U64_MAX = (1 << 64) - 1


def text(what: str, value: Any) -> str:
    """A str as the interface takes it: half a surrogate pair, which JSON can write and UTF-8 cannot, becomes `?`."""
    if not isinstance(value, str):
        raise TypeError(f"{what} is a {type(value).__name__}; it wants a str")
    return well_formed(value)


def exact(what: str, value: Any) -> str:
    """A str that names something, where a `?` for what is no UTF-8 could name something else."""
    if text(what, value) != value:
        raise ValueError(f"{what} is {value!r}, which UTF-8 cannot write")
    return value


def well_formed(value: str) -> str:
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def whole(what: str, value: Any, least: int, most: int) -> int:
    """A whole number within its range. A float is refused also where it is whole: the next one will not be."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{what} is a {type(value).__name__}; it wants an int") from None
    if not least <= number <= most:
        raise ValueError(f"{what} is {number}; it wants {least} to {most}")
    return number


def real(what: str, value: Any) -> float:
    if not isinstance(value, (int, float)):
        raise TypeError(f"{what} is a {type(value).__name__}; it wants a float")
    return float(value)


def data(what: str, value: Any) -> bytes:
    # `bytes(5)` would be five zeros.
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError(f"{what} is a {type(value).__name__}; it wants bytes")
    return bytes(value)
