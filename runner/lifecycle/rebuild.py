"""Rebuild: the environment made twice on two fresh machines, to show that both are the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runner.errors import ToolError
from runner.run.run_dir import RunDir, read_json

DIGEST, PACKAGES = "environment_digest", "environment_packages"


@dataclass(frozen=True)
class Comparison:
    """What two builds of one environment came to.

    Attributes:
        digests: Digest of each.
        differences: What one has and the other has not, a line each.
    """

    digests: tuple[str, str]
    differences: list[str]

    @property
    def equal(self) -> bool:
        """Whether both are the same."""
        return self.digests[0] == self.digests[1] and not self.differences


def compare(first: RunDir, second: RunDir) -> Comparison:
    """Compare what two runs' machines came to.

    Raises:
        ToolError: If a run does not list its environment: two unknown ones are not equal.
    """
    left, right = _facts(first), _facts(second)
    mine, other = set(left.get(PACKAGES, [])), set(right.get(PACKAGES, []))
    differences = [f"only on the first: {line}" for line in sorted(mine - other)]
    differences += [f"only on the second: {line}" for line in sorted(other - mine)]
    if left.get("python") != right.get("python"):
        differences.append(f"Python {left.get('python')} on the first, {right.get('python')} on the second")
    return Comparison((str(left[DIGEST]), str(right[DIGEST])), differences)


def _facts(run: RunDir) -> dict[str, Any]:
    facts: dict[str, Any] = read_json(run.file("host_facts.json")) or {}
    if not facts.get(DIGEST):
        raise ToolError(
            f"rebuild: host_facts.json of {run.run_id} does not list its environment",
            resolution=f"see {run.file('logs')}, then run `make rebuild` again",
        )
    return facts
