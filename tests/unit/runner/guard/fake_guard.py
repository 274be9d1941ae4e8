"""A guard that is a list of what it heard."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from runner.adapters.process import Apart


@dataclass
class FakeGuard(Apart):
    """Hears everything, and starts no process."""

    heard: list[dict[str, Any]] = field(default_factory=list)
    is_dead: bool = False

    def say(self, line: bytes) -> bool:
        if not self.is_dead:
            self.heard.append(json.loads(line))
        return not self.is_dead

    def end(self) -> None:
        self.is_dead = True

    @property
    def words(self) -> list[str]:
        return [said["word"] for said in self.heard]
