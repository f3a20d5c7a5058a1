"""The host, played: a plugin under plain Python, without wasm.

    from edgeplug import testing
    from plugin import Load

    def test_reads_the_load():
        with testing.Host(files={"/proc/loadavg": b"0.50 0.1 0.1 1/2 3"}) as host:
            plugin = Load()
            plugin.start()
            assert plugin.sample() == Sample(load=0.5)

It needs `sdk/bindings` and `sdk` on the path (`PYTHONPATH=sdk:sdk/bindings`).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from componentize_py_types import Err
from edgeplug.values import Sample, from_wire
from wit_world.imports import acks, config, device, files, firmware_file, log, state, telemetry, twin

# As in the daemon: `files`, and `state` without `state_kb` in the manifest.
_READ_MAX = 1 << 20
_STATE_MAX = 64 << 10
_KEYS_MAX = 64
_KEY_MAX = 128


@dataclass
class Host:
    """What the plugin sees and what it did. Use it as a context manager; fields may be changed while it runs."""

    config: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    firmware: dict[str, bytes] = field(default_factory=dict)
    """Content by the update's id."""
    state: dict[str, bytes] = field(default_factory=dict)
    unique_id: str = "test-device"
    connected: bool = True
    may_disconnect: bool = False
    """Whether the right `disconnect` is granted."""
    template: device.Model | None = None
    desired: dict[str, Any] = field(default_factory=dict)
    reported: dict[str, Any] = field(default_factory=dict)
    outcome: Any = field(default_factory=telemetry.Outcome_Accepted)
    """What becomes of every sample that is sent."""
    sent: list[Sample] = field(default_factory=list)
    """Samples that were accepted."""
    log: list[tuple[str, str]] = field(default_factory=list)
    """Level and message."""
    finished: dict[str, Any] = field(default_factory=dict)
    """Endings by id."""
    progress: list[tuple[str, int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._versions = {"desired": 1, "reported": 1}
        self._patches: list[Any] = []

    def __enter__(self) -> Host:
        answers = {
            (log, "log"): lambda level, message: self.log.append((level.name.lower(), message)),
            (config, "get"): self.config.get,
            (config, "all"): lambda: sorted(self.config.items()),
            (device, "info"): lambda: device.Identity(self.unique_id),
            (device, "connected"): lambda: self.connected,
            (device, "disconnect"): lambda: self._connect(False),
            (device, "reconnect"): lambda: self._connect(True),
            (device, "template"): lambda: self.template,
            (telemetry, "send"): self._send,
            (files, "read"): self._read,
            (files, "read_at"): self._read_at,
            (files, "find"): self._find,
            (firmware_file, "read"): self._firmware,
            (state, "get"): self.state.get,
            (state, "set"): self._keep,
            (state, "delete"): lambda key: self.state.pop(key, None),
            (state, "keys"): lambda: sorted(self.state),
            (twin, "get"): self._twin,
            (twin, "report"): self._report,
            (acks, "finish"): self.finished.__setitem__,
            (acks, "progress"): lambda *told: self.progress.append(told),
        }
        for (module, name), answer in answers.items():
            patch = mock.patch.object(module, name, answer)
            patch.start()
            self._patches.append(patch)
        return self

    def __exit__(self, *_: object) -> None:
        while self._patches:
            self._patches.pop().stop()

    def _connect(self, connected: bool) -> None:
        if not self.may_disconnect:
            raise Err("the test does not grant `disconnect`")
        self.connected = connected

    def _send(self, samples: list[Any]) -> list[Any]:
        if not isinstance(self.outcome, telemetry.Outcome_Rejected):
            self.sent.extend(from_wire(sample) for sample in samples)
        return [self.outcome] * len(samples)

    def _file(self, path: str) -> bytes:
        if path not in self.files:
            raise Err(files.Error_NotFound())
        return self.files[path]

    def _read(self, path: str) -> bytes:
        content = self._file(path)
        if len(content) > _READ_MAX:
            raise Err(files.Error_TooLarge(_READ_MAX))
        return content

    def _read_at(self, path: str, offset: int, length: int) -> bytes:
        content = self._file(path)
        if length > _READ_MAX:
            raise Err(files.Error_TooLarge(_READ_MAX))
        return content[offset : offset + length]

    def _find(self, pattern: str) -> list[str]:
        # As the host matches: neither `*` nor `?` stands for `/`.
        expression = re.compile(
            "".join({"*": "[^/]*", "?": "[^/]"}.get(character, re.escape(character)) for character in pattern)
        )
        return sorted(path for path in self.files if expression.fullmatch(path))

    def _firmware(self, id: str, offset: int, length: int) -> bytes:  # noqa: A002
        if id not in self.firmware:
            raise Err(f"there is no update {id!r}")
        if length > _READ_MAX:
            raise Err(f"at most {_READ_MAX} bytes can be read in one go")
        return self.firmware[id][offset : offset + length]

    def _keep(self, key: str, value: bytes) -> None:
        if not 1 <= len(key.encode()) <= _KEY_MAX:
            raise Err(state.Error_Quota(f"a key has 1 to {_KEY_MAX} bytes"))
        kept = {**self.state, key: value}
        if len(kept) > _KEYS_MAX:
            raise Err(state.Error_Quota(f"at most {_KEYS_MAX} keys are kept"))
        if sum(len(name.encode()) + len(held) for name, held in kept.items()) > _STATE_MAX:
            raise Err(state.Error_Quota(f"at most {_STATE_MAX} bytes are kept"))
        self.state[key] = value

    def _twin(self) -> Any:
        if not self.connected:
            raise Err(twin.Error_Unavailable("offline"))
        texts = [json.dumps(part, ensure_ascii=False) for part in (self.desired, self.reported)]
        return twin.Document(texts[0], self._versions["desired"], texts[1], self._versions["reported"])

    def _report(self, patch: str) -> int:
        if not self.connected:
            raise Err(twin.Error_Unavailable("offline"))
        for name, value in json.loads(patch).items():
            if value is None:
                self.reported.pop(name, None)
            else:
                self.reported[name] = value
        self._versions["reported"] += 1
        return self._versions["reported"]
