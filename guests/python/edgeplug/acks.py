"""Ends what was answered with `DEFERRED` (sendAck and its kin of the old SDK)."""

from __future__ import annotations

from componentize_py_types import Err
from edgeplug import checks
from edgeplug.plugin import Reply
from wit_world.imports import acks as _host
from wit_world.imports import types as _types


class Error(Exception):
    """The end was not taken."""


class Unknown(Error):
    """Nothing under way has this id, or it has its end already."""


class NotYours(Error):
    """It belongs to another plugin."""


class Unavailable(Error):
    """The end could not be written down; try again."""


def finish(id: str, reply: Reply) -> None:  # noqa: A002: as the interface calls it
    """Tells the end, `Reply.done(…)` or `Reply.failed(…)`. When it returns, the end is on disk."""
    if not isinstance(reply, Reply):
        raise TypeError(f"an end is a {type(reply).__name__}; it wants a Reply")
    if reply.kind == "deferred":
        raise ValueError("an end is done or failed")
    ending = _types.Ending_Done(reply.message) if reply.kind == "done" else _types.Ending_Failed(reply.message)
    try:
        _host.finish(checks.exact("the id", id), ending)
    except Err as error:
        match error.value:
            case _host.Error_Unknown():
                raise Unknown(f"nothing under way has the id {id!r}") from None
            case _host.Error_NotYours():
                raise NotYours(f"{id!r} belongs to another plugin") from None
            case other:
                raise Unavailable(other.value) from None


def progress(id: str, percent: int, message: str = "") -> None:  # noqa: A002
    """How far it is, 0 to 100 percent, with a few words."""
    percent = checks.whole("the progress in percent", percent, 0, 100)
    _host.progress(checks.exact("the id", id), percent, checks.text("the message", message))
