"""The device twin: JSON objects that the cloud keeps."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from componentize_py_types import Err
from edgeplug import checks
from wit_world.imports import twin as _host


class Error(Exception):
    """Nothing was changed as far as is known."""


class Unavailable(Error):
    """There is no connection, or the hub did not answer in time."""


class Invalid(Error):
    """What was to be reported is no JSON object, or too large; says where."""


class Refused(Error):
    """The hub did not take it."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the hub refused with status {status}")
        self.status = status


@dataclass(frozen=True)
class Document:
    """The whole twin; desired and reported are JSON texts, `desired_values` and `reported_values` the same as dicts."""

    desired: str
    desired_version: int
    reported: str
    reported_version: int

    @property
    def desired_values(self) -> dict[str, Any]:
        """What the cloud wants."""
        return json.loads(self.desired)

    @property
    def reported_values(self) -> dict[str, Any]:
        """What the device last reported."""
        return json.loads(self.reported)


def get() -> Document:
    """Asks the hub, and waits for its answer."""
    try:
        found = _host.get()
    except Err as error:
        raise _error(error.value) from None
    return Document(found.desired, found.desired_version, found.reported, found.reported_version)


def report(patch: dict[str, Any] | str) -> int:
    """Merges members into what is reported (None removes one) and waits for the new version (UpdateTwin of the old SDK)."""
    json_text = patch if isinstance(patch, str) else json.dumps(patch, ensure_ascii=False, allow_nan=False)
    try:
        return _host.report(checks.well_formed(json_text))
    except Err as error:
        raise _error(error.value) from None


def _error(error: Any) -> Error:
    if isinstance(error, _host.Error_Refused):
        return Refused(error.value)
    return (Invalid if isinstance(error, _host.Error_Invalid) else Unavailable)(error.value)
