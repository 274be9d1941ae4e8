"""What the benchmark of ten runs calls broken: on run folders and a cloud's book that are made up."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ten_runs import Found, One, held_mib, judge, problems, show
from runner.run.run_dir import RunDir, list_runs, write_json
from runner.world import RealWorld


class Cloud:
    """A cloud with a machine for each of two runs, and a request that came too fast if that is wanted."""

    def __init__(self, *, billing: str = "", refused: int = 0, more: tuple[str, ...] = ()) -> None:
        machines = [{"id": name, "is_billing": name == billing} for name in ("m-0", "m-1", *more)]
        requests = [{"status": 200}] * 5 + [{"status": 429}] * refused
        self._answers: dict[str, Any] = {"/machines": {"machines": machines}, "/requests": {"requests": requests}}

    def ask(self, path: str) -> Any:
        return self._answers[path]


def two_runs(folder: Path) -> list[RunDir]:
    for number in range(2):
        path = folder / f"2026113{number}-000000-run-{number}-k3v9"
        (path / "adapter").mkdir(parents=True)
        (path / "adapter" / "adapter_model.safetensors").write_text(f"trained {30 + number} steps")
        write_json(path / "config.json", {"run": {"name": f"run-{number}"}})
        write_json(path / "host.json", {"instance_id": f"m-{number}"})
        write_json(path / "receipt.json", {"machines": [{"machine_id": f"m-{number}"}]})
        write_json(path / "state.json", {})
    return list_runs(folder, RealWorld())


def found_of(folder: Path, cloud: Cloud, *, statuses: tuple[int, int] = (0, 0)) -> Found:
    runs = list_runs(folder, RealWorld())
    found = Found([One(f"run-{number}", 30 + number, status) for number, status in enumerate(statuses)])
    judge(found, runs, cloud)  # type: ignore[arg-type]
    return found


def test_runs_with_their_own_adapter_machine_and_receipt_are_well(tmp_path: Path) -> None:
    assert len(two_runs(tmp_path)) == 2

    found = found_of(tmp_path, Cloud())

    assert problems(found) == []
    assert "receipt |     2 |" in show(found)
    assert (found.requests, found.refused) == (5, 0)


@pytest.mark.parametrize(
    ("file", "value", "words"),
    [
        ("host.json", {"instance_id": "m-0"}, "or another one than the run's"),
        ("receipt.json", {"machines": []}, "the receipt has 0 machines"),
        ("config.json", {"run": {"name": "run-7"}}, "no run folder"),
    ],
)
def test_what_belongs_to_another_run_is_broken(file: str, value: Any, words: str, tmp_path: Path) -> None:
    _, second = two_runs(tmp_path)
    write_json(second.path / file, value)

    assert any(words in what for what in problems(found_of(tmp_path, Cloud())))


def test_an_adapter_of_another_run_is_broken(tmp_path: Path) -> None:
    _, second = two_runs(tmp_path)
    (second.adapter / "adapter_model.safetensors").write_text("trained 30 steps")

    assert problems(found_of(tmp_path, Cloud())) == ["run-1: the adapter is not its own"]


def test_what_bills_failed_or_came_too_fast_is_broken(tmp_path: Path) -> None:
    two_runs(tmp_path)

    found = found_of(tmp_path, Cloud(billing="m-1", refused=2, more=("m-2",)), statuses=(3, 0))

    assert problems(found) == [
        "run-0: exit status 3",
        "run-0: 3 machines are in the cloud's book, 2 in receipts",
        "run-1: m-1 still bills",
        "2 requests came too fast",
    ]


def test_more_memory_than_agreed_is_broken() -> None:
    found = Found([One("run-0", 30, 0, rss_mib=101.0), One("run-1", 31, 0, rss_mib=99.0)], pss_mib=701.0)

    assert problems(found) == ["run-0 holds 101 MiB", "all runners together hold 701 MiB"]


def test_memory_is_that_of_the_process_and_of_its_children() -> None:
    rss, pss, beside = held_mib(os.getpid())

    assert rss >= pss > 1.0
    assert beside >= 0.0
    assert held_mib(2**22 - 1) == (0.0, 0.0, 0.0)
