"""What a launch would start, as people read it, and the machines that it would run on."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.config.memory import GIB, Part


class Cluster(NamedTuple):
    """Machines that a training may use; no GPU means one CPU."""

    nodes: int
    gpus: int  # of each
    gpu_type: str | None

    def __str__(self) -> str:
        if not self.gpus:
            return "CPU"
        return f"{self.nodes} × {self.gpus} {self.gpu_type or 'GPU'}"


@dataclass
class LaunchPlan:
    """What a launch would start. `refusals` say why it cannot."""

    queue: str  # the Celery queue whose worker starts it
    devices: list[str] = field(default_factory=list)
    processes: int = 1
    commands: list[str] = field(default_factory=list)
    memory: list[Part] = field(default_factory=list)
    device_bytes: int | None = None
    too_large: str = ""  # the refusal that is about memory
    notes: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The plan as people read it."""
        total = sum(part.size_bytes for part in self.memory)
        shown = [f"queue {self.queue}, {self.processes} training process(es)", *self.devices]
        shown += [f"$ {command}" for command in self.commands]
        shown += [f"{p.name:12} {p.size_bytes / GIB:9.3f} GiB  = {p.formula}" for p in self.memory]
        if self.memory:
            room = f" of {self.device_bytes / GIB:.0f} GiB" if self.device_bytes else ""
            shown.append(f"{'a device':12} {total / GIB:9.3f} GiB{room}")
        shown += [f"note: {note}" for note in self.notes]
        return shown + [f"cannot run: {refusal}" for refusal in self.refusals]


def read_cluster(text: str, gpu_type: str | None = None) -> Cluster:
    """`"8"`, `"2x8"`, `"2x8 H100"`, `"cpu"`. Raises ValueError."""
    words = text.strip().lower()
    if words == "cpu":
        return Cluster(1, 0, None)
    match = re.fullmatch(r"(?:(\d{1,4})\s*[x×]\s*)?(\d{1,4})(?:\s+([\w-]+))?", words)
    if not match or int(match[2]) < 1 or int(match[1] or 1) < 1:
        raise ValueError(f"{text!r} is no number of GPUs: write 1, 8, 2x8, 2x8 H100 or cpu.")
    return Cluster(int(match[1] or 1), int(match[2]), (match[3] or gpu_type or "").upper() or None)
