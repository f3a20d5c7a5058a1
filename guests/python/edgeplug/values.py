"""Samples and what they hold, from and to the typed values of the interface."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Union

from edgeplug import checks
from wit_world.imports import types as wire

INTEGER_MIN = -(1 << 63)
INTEGER_MAX = (1 << 63) - 1
NANOSECONDS_MAX = 999_999_999
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class LatLong:
    """A place in WGS 84 degrees."""

    latitude: float
    longitude: float

    def __post_init__(self) -> None:
        checks.real("the latitude", self.latitude)
        checks.real("the longitude", self.longitude)


@dataclass(frozen=True)
class Moment:
    """A moment to the nanosecond: seconds since 1970 UTC, and 0 to 999,999,999 nanoseconds added to them."""

    seconds: int
    nanoseconds: int = 0

    def __post_init__(self) -> None:
        checks.whole("the seconds of a moment", self.seconds, INTEGER_MIN, INTEGER_MAX)
        checks.whole("the nanoseconds of a moment", self.nanoseconds, 0, NANOSECONDS_MAX)

    @classmethod
    def of(cls, time: datetime) -> Moment:
        """A time that knows its zone; one that does not is refused, because it could be meant in any."""
        if time.tzinfo is None:
            raise ValueError("a time needs its zone, for instance datetime.now(timezone.utc)")
        since = time - _EPOCH
        return cls(since.days * 86_400 + since.seconds, since.microseconds * 1000)


Scalar = Union[bool, int, float, str]
Value = Union[Scalar, LatLong, Mapping[str, Scalar]]
"""bool, int (64 bits), float, str, `LatLong`, or a dict of the first four."""


class Sample:
    """One reading of one device: some of its attributes at one moment.

    `Sample(temperature=21.5, on=True)`, or with names that are no Python names `Sample({"cpu-load": 0.5})`.
    `device` is the unique id of a child device, None is the device itself. `time` is a datetime with its zone or a
    `Moment`; None lets the host take the moment of arrival.
    """

    __slots__ = ("device", "time", "values")

    def __init__(
        self,
        values: Mapping[str, Value] | None = None,
        /,
        *,
        device: str | None = None,
        time: datetime | Moment | None = None,
        **attributes: Value,
    ) -> None:
        self.values: dict[str, Value] = {**(values or {}), **attributes}
        self.device = device
        self.time = Moment.of(time) if isinstance(time, datetime) else time

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sample) and (self.device, self.time, self.values) == (
            other.device,
            other.time,
            other.values,
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Sample({self.values!r}, device={self.device!r}, time={self.time!r})"


def to_wire(sample: Sample) -> wire.Sample:
    if not isinstance(sample, Sample):
        raise TypeError(f"a reading is a {type(sample).__name__}; it wants a Sample")
    device = None if sample.device is None else checks.text("the device of a sample", sample.device)
    values = [(checks.text("the name of an attribute", name), _value(name, held)) for name, held in sample.values.items()]
    return wire.Sample(device, _moment(sample.time), values)


def from_wire(sample: wire.Sample) -> Sample:
    time = None if sample.time is None else Moment(sample.time.seconds, sample.time.nanoseconds)
    values = {name: _plain(held) for name, held in sample.values}
    return Sample(values, device=sample.device, time=time)


def _moment(time: datetime | Moment | None) -> wire.Moment | None:
    if time is None:
        return None
    time = Moment.of(time) if isinstance(time, datetime) else time
    if not isinstance(time, Moment):
        raise TypeError(f"the time of a sample is a {type(time).__name__}; it wants a datetime with its zone or a Moment")
    return wire.Moment(time.seconds, time.nanoseconds)


def _value(name: str, held: Value) -> wire.Value:
    # bool before int, which it is a kind of.
    if isinstance(held, bool):
        return wire.Value_Boolean(held)
    if isinstance(held, int):
        return wire.Value_Integer(_checked(name, held))
    if isinstance(held, float):
        return wire.Value_Number(held)
    if isinstance(held, str):
        return wire.Value_Text(checks.well_formed(held))
    if isinstance(held, LatLong):
        return wire.Value_LatLong(wire.LatLong(float(held.latitude), float(held.longitude)))
    if isinstance(held, Mapping):
        members = [(checks.text(f"the name of a member of {name}", member), value) for member, value in held.items()]
        return wire.Value_Object([(member, _scalar(f"{name}.{member}", value)) for member, value in members])
    raise TypeError(f"{name} is a {type(held).__name__}; it wants bool, int, float, str, LatLong or a dict of those")


def _scalar(name: str, held: Scalar) -> wire.Scalar:
    if isinstance(held, bool):
        return wire.Scalar_Boolean(held)
    if isinstance(held, int):
        return wire.Scalar_Integer(_checked(name, held))
    if isinstance(held, float):
        return wire.Scalar_Number(held)
    if isinstance(held, str):
        return wire.Scalar_Text(checks.well_formed(held))
    raise TypeError(f"{name} is a {type(held).__name__}; it wants bool, int, float or str")


def _checked(name: str, held: int) -> int:
    if INTEGER_MIN <= held <= INTEGER_MAX:
        return int(held)
    raise OverflowError(f"{name} is {held}, which does not fit 64 bits; send it as float or str")


def _plain(held: wire.Value) -> Value:
    if isinstance(held, wire.Value_LatLong):
        return LatLong(held.value.latitude, held.value.longitude)
    if isinstance(held, wire.Value_Object):
        return {member: scalar.value for member, scalar in held.value}
    return held.value
