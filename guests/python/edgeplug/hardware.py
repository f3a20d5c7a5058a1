"""Buses, lines and ports, by the names the operator gave them. This version of the daemon refuses them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, Union

from componentize_py_types import Err
from edgeplug import checks
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
    address = checks.whole("the address", address, 0, checks.U16_MAX)
    steps = [_i2c_step(step) for step in operations]
    return _told(lambda: _i2c.transaction(_name(bus), address, steps))


def spi(device: str, operations: Sequence[_spi.Operation]) -> list[bytes]:
    """One transaction of `wit_world.imports.spi` operations; one answer for each read and transfer."""
    steps = [_spi_step(step) for step in operations]
    return _told(lambda: _spi.transaction(_name(device), steps))


def gpio_read(line: str) -> bool:
    """Whether the line is active."""
    return _told(lambda: _gpio.read(_name(line)))


def gpio_write(line: str, active: bool) -> None:
    """Sets the line."""
    _told(lambda: _gpio.write(_name(line), bool(active)))


def gpio_wait(line: str, edge: _gpio.Edge, timeout_ms: int) -> bool:
    """Waits for an edge: True when there was one since the last call."""
    if not isinstance(edge, _gpio.Edge):
        raise TypeError(f"the edge is a {type(edge).__name__}; it wants an Edge")
    timeout_ms = checks.whole("the timeout", timeout_ms, 0, checks.U32_MAX)
    return _told(lambda: _gpio.wait(_name(line), edge, timeout_ms))


def serial_read(port: str, length: int, timeout_ms: int) -> bytes:
    """What came in, at most `length` bytes; b"" when nothing came within the time."""
    length = checks.whole("the length", length, 0, checks.U32_MAX)
    timeout_ms = checks.whole("the timeout", timeout_ms, 0, checks.U32_MAX)
    return _told(lambda: _serial.read(_name(port), length, timeout_ms))


def serial_write(port: str, data: bytes) -> None:
    """Writes all of it."""
    _told(lambda: _serial.write(_name(port), checks.data("what is written", data)))


def _name(name: str) -> str:
    return checks.exact("the name of the hardware", name)


def _i2c_step(step: Union[int, bytes]) -> _i2c.Operation:
    if isinstance(step, int):
        return _i2c.Operation_Read(checks.whole("what is read", step, 0, checks.U16_MAX))
    return _i2c.Operation_Write(checks.data("what is written", step))


def _spi_step(step: _spi.Operation) -> _spi.Operation:
    match step:
        case _spi.Operation_Read(length):
            return _spi.Operation_Read(checks.whole("what is read", length, 0, checks.U16_MAX))
        case _spi.Operation_Write(data):
            return _spi.Operation_Write(checks.data("what is written", data))
        case _spi.Operation_Transfer(data):
            return _spi.Operation_Transfer(checks.data("what is transferred", data))
        case _spi.Operation_DelayNs(time):
            return _spi.Operation_DelayNs(checks.whole("the delay", time, 0, checks.U32_MAX))
    raise TypeError(f"an SPI operation is a {type(step).__name__}; it wants one of wit_world.imports.spi")


def _told(call: Callable[[], T]) -> T:
    try:
        return call()
    except Err as error:
        raise Error(_KINDS[type(error.value)], getattr(error.value, "value", "")) from None
