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

_READ_MAX = 1 << 20


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
            (device, "template"): lambda: self.template,
            (telemetry, "send"): self._send,
            (files, "read"): self._read,
            (files, "read_at"): lambda path, offset, length: self._file(path)[offset : offset + length],
            (files, "find"): self._find,
            (firmware_file, "read"): self._firmware,
            (state, "get"): self.state.get,
            (state, "set"): self.state.__setitem__,
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

    def _find(self, pattern: str) -> list[str]:
        # As the host matches: neither `*` nor `?` stands for `/`.
        expression = re.compile(
            "".join({"*": "[^/]*", "?": "[^/]"}.get(character, re.escape(character)) for character in pattern)
        )
        return sorted(path for path in self.files if expression.fullmatch(path))

    def _firmware(self, id: str, offset: int, length: int) -> bytes:  # noqa: A002
        if id not in self.firmware:
            raise Err(f"there is no update {id!r}")
        return self.firmware[id][offset : offset + length]

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
