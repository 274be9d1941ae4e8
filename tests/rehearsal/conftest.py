"""Whole life cycles against emulated clouds with real machines; a row of the fault catalogue each."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.stop import Stop
from runner.cli.terminal import LineView
from runner.emulation.boxes import clean, supported
from runner.rehearsal.drive import Rehearsal, rehearse
from runner.rehearsal.emulators import Emulators
from runner.rehearsal.store import LOG
from runner.rehearsal.verdict import Verdict
from runner.run.run_dir import RunDir, list_runs
from runner.world import RealWorld

STAND_IN = "tests.unit.runner.lab.drive"
"""The command line with a stand-in for the trainer and for Ansible: for faults that have to do with neither."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    reason = supported()
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.rehearsal)
            item.add_marker(pytest.mark.timeout(600))
            if reason is not None and not os.environ.get("CI"):
                item.add_marker(pytest.mark.skip(reason=f"no real boxes here: {reason}"))
    for item in _first_rows([item for item in items if here in item.path.parents]):
        item.add_marker(pytest.mark.chosen)


def _first_rows(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return one item for each test function: every promise is among what ``.ci/run`` runs, if not already."""
    alone = [item for item in items if item.get_closest_marker("shown_by") is None]
    return list({item.nodeid.partition("[")[0]: item for item in reversed(alone)}.values())


MIRROR_ROOTS = ("/opt", "/usr/share/terraform", "/usr/local/share/terraform")


@dataclass
class Stage:
    """A folder in which runs are rehearsed."""

    folder: Path
    config: Path
    count: int = 0

    def rehearse(
        self,
        cloud: str,
        faults: str = "",
        *settings: str,
        afterwards: str = "down",
        program: str = STAND_IN,
        verb: str = "train",
        options: Sequence[str] = (),
        before_close: Callable[[Emulators], None] | None = None,
        hub: Path | None = None,
        others: Sequence[str] = (),
        store: str | None = None,
        clouds: Sequence[str] = (),
    ) -> Verdict:
        """Rehearse a run and return the verdict; what the runner says is pytest's captured output."""
        self.count += 1
        words = ["--config", str(self.config), *(word for text in settings for word in ("--set", text)), *options]
        folder = self.folder / f"r{self.count}"
        rehearsal = Rehearsal(
            cloud, words, faults, afterwards, folder, program, verb, before_close, hub, others, store, clouds
        )
        return rehearse(rehearsal, LineView(time.monotonic), Stop(RealWorld()))

    def run(self) -> RunDir:
        """Return the latest run of the latest rehearsal."""
        return list_runs(self.folder / f"r{self.count}" / "runs", RealWorld())[-1]

    def journal(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.run().file("journal.jsonl").read_text().splitlines()]

    def started_from(self) -> list[int]:
        """Return the step that each start of the trainer went on from, in order."""
        events = [json.loads(line) for line in self.run().file("events.jsonl").read_text().splitlines()]
        return [event["resumed_from_step"] for event in events if event["event"] == "run_started"]

    def stored(self) -> list[dict[str, str]]:
        """Return the requests by which the latest rehearsal's store got something: path and who asked."""
        lines = (self.folder / f"r{self.count}" / LOG).read_text().splitlines()
        return [one for one in map(json.loads, lines) if one["method"] == "PUT" and not one["refused"]]

    def said(self, verb: str = "train") -> str:
        """Return all that a command printed."""
        return (self.folder / f"r{self.count}" / f"{verb}.log").read_text()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    yield make_stage(tmp_path)
    assert clean() == [], "a rehearsal left something behind"


def make_stage(folder: Path) -> Stage:
    """Return a folder to rehearse in, with a run file that the stand-ins take."""
    (folder / "train.jsonl").write_text('{"prompt": "Why?", "completion": "Because."}\n')
    (folder / "eval.jsonl").write_text('{"prompt": "When?", "completion": "Then."}\n')
    (folder / "run.yml").write_text(
        "run: {name: tiny}\ndata: {train_path: train.jsonl, eval_path: eval.jsonl}\nmonitoring: {tensorboard: false}\n"
    )
    return Stage(folder, folder / "run.yml")


@pytest.fixture(autouse=True)
def quick_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let client and emulated cloud agree on a quicker pace than Lambda's, which is a request a second."""
    monkeypatch.setenv("DOUSE_LAMBDA_PACE_S", "0.2")


@pytest.fixture(scope="session", autouse=True)
def provider_mirror() -> None:
    """Take hashicorp/aws from a mirror where this machine has one, else from the registry."""
    if "DOUSE_PROVIDER_MIRROR" in os.environ:
        return
    found = sorted(path for root in MIRROR_ROOTS for path in Path(root).glob("**/registry.terraform.io"))
    if found:
        os.environ["DOUSE_PROVIDER_MIRROR"] = str(found[0].parent)


def three_lines(said: str) -> list[str]:
    """Return the error's lines of what a command printed, and make sure that there is no traceback."""
    assert "Traceback" not in said, said
    return [line for line in said.splitlines() if line.startswith(("error:", "hint:", "log:"))]
