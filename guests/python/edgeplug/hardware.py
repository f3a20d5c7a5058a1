"""Buses, lines and ports, by the names the operator gave them. This version of the daemon refuses them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, Union

from componentize_py_types import Err
from wit_world.imports import gpio as _gpio
from wit_world.imports import hardware_types as _types
from wit_world.imports import i2c as _i2c
from wit_world.imports import serial as _serial
from wit_world.imports import spi as _spi

T = TypeVar("T")


class Error(OSError):
    """`kind` is `denied`, `no-device`, `timed-out`, `too-much` or `other`."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason or kind)
        self.kind = kind


_KINDS = {
    _types.Error_Denied: "denied",
    _types.Error_NoDevice: "no-device",
    _types.Error_TimedOut: "timed-out",
    _types.Error_TooMuch: "too-much",
    _types.Error_Other: "other",
}


def i2c(bus: str, address: int, operations: Sequence[Union[int, bytes]]) -> list[bytes]:
    """One transaction: an int reads so many bytes, bytes are written; one answer for each read."""
    steps = [_i2c.Operation_Read(step) if isinstance(step, int) else _i2c.Operation_Write(step) for step in operations]
    return _told(lambda: _i2c.transaction(bus, address, steps))


def spi(device: str, operations: Sequence[_spi.Operation]) -> list[bytes]:
    """One transaction of `wit_world.imports.spi` operations; one answer for each read and transfer."""
    return _told(lambda: _spi.transaction(device, list(operations)))


def gpio_read(line: str) -> bool:
    """Whether the line is active."""
    return _told(lambda: _gpio.read(line))


def gpio_write(line: str, active: bool) -> None:
    """Sets the line."""
    _told(lambda: _gpio.write(line, active))


def gpio_wait(line: str, edge: _gpio.Edge, timeout_ms: int) -> bool:
    """Waits for an edge: True when there was one since the last call."""
    return _told(lambda: _gpio.wait(line, edge, timeout_ms))


def serial_read(port: str, length: int, timeout_ms: int) -> bytes:
    """What came in, at most `length` bytes; b"" when nothing came within the time."""
    return _told(lambda: _serial.read(port, length, timeout_ms))


def serial_write(port: str, data: bytes) -> None:
    """Writes all of it."""
    _told(lambda: _serial.write(port, data))


def _told(call: Callable[[], T]) -> T:
    try:
        return call()
    except Err as error:
        raise Error(_KINDS[type(error.value)], getattr(error.value, "value", "")) from None
