"""From a plugin class to the classes that componentize-py looks for, one for each exported interface."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

from componentize_py_types import Err
from edgeplug import checks
from edgeplug.plugin import Command, CommandFailed, DesiredChange, Failure, Firmware, Plugin, Reply
from edgeplug.values import Sample, from_wire, to_wire
from wit_world.imports import types as wire

METHODS = {
    "sensor": ("sample",),
    "commands": ("handle",),
    "twin-events": ("desired_changed",),
    "connection-events": ("connection_changed",),
    "firmware": ("update",),
    "lifecycle": ("start", "stop", "save_state", "restore_state"),
    "transform": ("transform",),
}
"""Interfaces, and the methods of which any one makes a class export them."""


def plugin_class(module: ModuleType) -> type[Plugin]:
    """The one plugin class that a module defines."""
    found = [
        held
        for held in vars(module).values()
        if isinstance(held, type) and issubclass(held, Plugin) and held.__module__ == module.__name__
    ]
    if len(found) != 1:
        names = ", ".join(held.__name__ for held in found) or "none"
        raise SystemExit(f"{module.__name__}.py must define exactly one class that derives from edgeplug.Plugin; it defines {names}")
    return found[0]


def interfaces(plugin: type[Plugin]) -> list[str]:
    """The interfaces that a class implements, in the order of `METHODS`."""
    return [
        interface
        for interface, methods in METHODS.items()
        if any(getattr(plugin, method) is not getattr(Plugin, method) for method in methods)
    ]


def classes(plugin: type[Plugin]) -> dict[str, type]:
    """What the component's main module must hold."""
    one = _One(plugin)
    return {name.split("-")[0].capitalize() + "".join(part.capitalize() for part in name.split("-")[1:]): made(one)
            for name, made in _MAKERS.items()}


class _One:
    """The plugin object, made and started at the first call; without `lifecycle` nobody else would start it."""

    def __init__(self, plugin: type[Plugin]) -> None:
        self._class = plugin
        self._plugin: Plugin | None = None

    def get(self) -> Plugin:
        if self._plugin is None:
            plugin = self._class()
            plugin.start()
            self._plugin = plugin
        return self._plugin

    def take(self) -> Plugin | None:
        plugin, self._plugin = self._plugin, None
        return plugin


def _told(call: Callable[[], Any]) -> Any:
    """Runs a call; an exception becomes an error of the interface, its traceback goes to standard error."""
    try:
        return call()
    except Failure as failure:
        raise Err(checks.well_formed(str(failure))) from None
    except Exception as error:  # noqa: BLE001: whatever it is, the host is told
        traceback.print_exc(file=sys.stderr)
        sys.stderr.flush()
        raise Err(checks.well_formed(str(error)) or type(error).__name__) from None
    finally:
        sys.stdout.flush()


def _reply(answered: Reply | str | None) -> wire.Reply:
    match answered:
        case None:
            return wire.Reply_Done("")
        case str():
            return wire.Reply_Done(checks.well_formed(answered))
        case Reply(kind="done"):
            return wire.Reply_Done(answered.message)
        case Reply(kind="failed"):
            return wire.Reply_Failed(answered.message)
        case Reply(kind="deferred"):
            return wire.Reply_Deferred()
    raise TypeError(f"a reply is a Reply, a str or None, not {type(answered).__name__}")


def _answered(call: Callable[[], Reply | str | None]) -> wire.Reply:
    def run() -> wire.Reply:
        try:
            return _reply(call())
        except CommandFailed as failed:
            return wire.Reply_Failed(checks.well_formed(str(failed)))

    return _told(run)


def _listed(samples: Sample | Iterable[Sample] | None) -> list[wire.Sample]:
    if samples is None:
        return []
    return [to_wire(sample) for sample in ([samples] if isinstance(samples, Sample) else samples)]


def _saved(state: bytes | None) -> bytes:
    return b"" if state is None else checks.data("the saved state", state)


def _sensor(one: _One) -> type:
    class Sensor:
        def sample(self) -> list[wire.Sample]:
            return _told(lambda: _listed(one.get().sample()))

    return Sensor


def _commands(one: _One) -> type:
    class Commands:
        def handle(self, command: Any) -> wire.Reply:
            return _answered(lambda: one.get().handle(Command(command.id, command.text, command.device)))

    return Commands


def _twin_events(one: _One) -> type:
    class TwinEvents:
        def desired_changed(self, change: Any) -> None:
            _told(lambda: one.get().desired_changed(DesiredChange(change.version, change.complete, change.desired)))

    return TwinEvents


def _connection_events(one: _One) -> type:
    class ConnectionEvents:
        def changed(self, connection: Any) -> None:
            reason = getattr(connection, "value", None)
            # This interface has no error; what went wrong is in the log already.
            try:
                _told(lambda: one.get().connection_changed(reason is None, reason or ""))
            except Err:
                pass

    return ConnectionEvents


def _firmware(one: _One) -> type:
    class Firmware_:
        def update(self, request: Any) -> wire.Reply:
            firmware = Firmware(
                request.id, request.device, request.name, request.version, request.size, request.sha256
            )
            return _answered(lambda: one.get().update(firmware))

    return Firmware_


def _lifecycle(one: _One) -> type:
    class Lifecycle:
        def start(self) -> None:
            _told(one.get)

        def stop(self) -> None:
            plugin = one.take()
            if plugin is not None:
                try:
                    _told(plugin.stop)
                except Err:
                    pass

        def save_state(self) -> bytes:
            return _told(lambda: _saved(one.get().save_state()))

        def restore_state(self, saved: bytes) -> None:
            _told(lambda: one.get().restore_state(saved))

    return Lifecycle


def _transform(one: _One) -> type:
    class Transform:
        def process(self, samples: list[wire.Sample]) -> list[wire.Sample]:
            return _told(lambda: _listed(one.get().transform([from_wire(sample) for sample in samples])))

    return Transform


_MAKERS: dict[str, Callable[[_One], type]] = {
    "sensor": _sensor,
    "commands": _commands,
    "twin-events": _twin_events,
    "connection-events": _connection_events,
    "firmware": _firmware,
    "lifecycle": _lifecycle,
    "transform": _transform,
}
