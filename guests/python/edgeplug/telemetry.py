"""Readings that the plugin sends of its own accord, beside what `Plugin.sample` returns (SendData of the old SDK)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgeplug.values import Sample, to_wire
from wit_world.imports import telemetry as _host


@dataclass(frozen=True)
class Outcome:
    """What became of one sample. True when the host took it."""

    kind: str
    """`accepted` (on disk), `accepted-in-memory` (a crash loses it), `held-back` (sooner than the cloud wants), `rejected`."""
    reason: str = ""
    """Why it was rejected."""

    def __bool__(self) -> bool:
        return self.kind.startswith("accepted")

    def __str__(self) -> str:
        return f"rejected: {self.reason}" if self.kind == "rejected" else self.kind


_KINDS = {
    _host.Outcome_Accepted: "accepted",
    _host.Outcome_AcceptedInMemory: "accepted-in-memory",
    _host.Outcome_HeldBack: "held-back",
    _host.Outcome_Rejected: "rejected",
}


def send(samples: Sample | Iterable[Sample]) -> list[Outcome]:
    """Sends up to 1000 samples (240 KB) and waits until they are stored; one outcome for each, in their order."""
    samples = [samples] if isinstance(samples, Sample) else samples
    outcomes = _host.send([to_wire(sample) for sample in samples])
    return [Outcome(_KINDS[type(outcome)], getattr(outcome, "value", "")) for outcome in outcomes]
