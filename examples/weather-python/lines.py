"""From a line of rtl_433 (JSON, one object a line) to a reading."""

from __future__ import annotations

import json
import math

from edgeplug import Moment, Sample

LINE_BYTES_MAX = 4096
NESTED_MAX = 8
NUMBERS = {
    "temperature_C": "temperature",
    "humidity": "humidity",
    "pressure_hPa": "pressure",
    "wind_avg_km_h": "wind",
    "wind_max_km_h": "gust",
    "wind_dir_deg": "wind_direction",
    "rain_mm": "rain",
}
"""Fields of rtl_433, and the attributes they are sent as."""


class BadLine(Exception):
    """A line that is not what rtl_433 writes; says why."""


def parsed(line: bytes, station: int | None) -> Sample | None:
    """The reading in a line; None when it is another station's, or holds nothing of what is sent."""
    if not line.strip():
        return None
    event = _event(line)
    if station is not None and event.get("id") != station:
        return None
    values = {attribute: _number(field, event[field]) for field, attribute in NUMBERS.items() if field in event}
    if "battery_ok" in event:
        values["battery_ok"] = event["battery_ok"] not in (0, False)
    return Sample(values, time=_time(event)) if values else None


def _event(line: bytes) -> dict:
    # What a parser of JSON would need a deep stack for.
    if len(line) > LINE_BYTES_MAX or line.count(b"[") + line.count(b"{") > NESTED_MAX:
        raise BadLine(f"is too long or too deep: {_shown(line)}")
    try:
        event = json.loads(line)
    except ValueError:
        raise BadLine(f"is no JSON: {_shown(line)}") from None
    if not isinstance(event, dict):
        raise BadLine(f"is no JSON object: {_shown(line)}")
    return event


def _number(field: str, value: object) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise BadLine(f"has no number in {field}: {value!r:.40}")
    return number


def _time(event: dict) -> Moment:
    """`-M time:unix` writes whole seconds, `-M time:unix:usec` a fraction behind them, both as text."""
    text = str(event.get("time"))
    seconds, _, fraction = text.partition(".")
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= 11) or not (fraction or "0").isdecimal():
        raise BadLine(f"has no time in seconds since 1970 (start rtl_433 with -M time:unix:utc): {text!r:.40}")
    return Moment(int(seconds), int(fraction[:9].ljust(9, "0")))


def _shown(line: bytes) -> str:
    return repr(line[:60].decode(errors="replace"))
