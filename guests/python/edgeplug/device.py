"""The device this plugin runs on, and what the cloud says it looks like (GetAttributes of the old SDK)."""

from __future__ import annotations

from componentize_py_types import Err
from wit_world.imports import device as _host
from wit_world.imports.device import Attribute, Child, Kind, Member, Model, Setting

__all__ = ["Attribute", "Child", "Kind", "Member", "Model", "Setting", "connected", "disconnect", "kind_name", "reconnect"]
__all__ += ["template", "unique_id"]


def unique_id() -> str:
    """Under which the cloud knows the device."""
    return _host.info().unique_id


def template() -> Model | None:
    """Attributes, children, settings, frequency and edge mode; None before the device has ever reached the cloud."""
    return _host.template()


def kind_name(kind: Kind) -> str:
    """As the interface spells it, for instance `lat-long`."""
    return kind.name.lower().replace("_", "-")


def connected() -> bool:
    """Whether the daemon is connected at this moment. No need to ask before sending."""
    return _host.connected()


def disconnect() -> None:
    """Ends the connection until `reconnect` (Dispose of the old SDK); needs the right `disconnect`, else PermissionError."""
    try:
        _host.disconnect()
    except Err as error:
        raise PermissionError(error.value) from None


def reconnect() -> None:
    """Lets the daemon connect again; needs the right `disconnect`, else PermissionError."""
    try:
        _host.reconnect()
    except Err as error:
        raise PermissionError(error.value) from None
