"""``make terminate``: by a run's mark and a key alone, with an exit status that promises no more than was seen."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from runner.cli import terminate
from runner.errors import AccountError, UnreadableAnswerError
from runner.run.run_dir import PROJECT
from runner.world import RealWorld
from tests.unit.runner.fake_cloud import RUN_ID, FakeCloud, thing

Ask = Callable[..., int]


class Quick(RealWorld):
    """A world in which pauses pass at once."""

    slept_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.slept_s

    def sleep(self, seconds: float) -> None:
        self.slept_s += seconds


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Ask:
    def main(cloud: FakeCloud, *words: str) -> int:
        monkeypatch.setattr(terminate, "open_cloud", lambda name, world: cloud)
        return terminate.main(words or ("--run", RUN_ID, "--env", "lambda"), Quick({}))

    return main


def test_what_is_there_goes_and_is_named(ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    other = thing(resource_id="i-2", run_id="20261121-015501-other")
    cloud = FakeCloud([thing(), thing("key", "k"), other])

    assert ask(cloud) == 0
    assert cloud.there == [other]
    assert capsys.readouterr().out.splitlines() == [
        "account      test on lambda",
        "terminated   instance i-1",
        "terminated   key k",
        f"nothing of {RUN_ID} is left on lambda, by its own listing",
    ]


@pytest.mark.parametrize(
    ("cloud", "words"),
    [
        (FakeCloud(), "lambda's account test shows nothing of 20261121-015500-tiny, for 120 s"),
        (FakeCloud([thing()], ends_slowly=10_000), "still has instance i-1"),
        (FakeCloud([thing()], unread=[UnreadableAnswerError("odd", resolution="-")]), "not be read to the end: odd"),
        (FakeCloud(listing_troubles=[UnreadableAnswerError("no list", resolution="-")]), "cannot check what is left"),
    ],
    ids=["nothing seen", "it stays", "a part is unread", "no list"],
)
def test_what_is_not_proved_is_status_three(
    cloud: FakeCloud, words: str, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(cloud) == 3
    assert words in capsys.readouterr().err


def test_what_appears_late_goes_too(ask: Ask) -> None:
    cloud = FakeCloud(appears_at_look={3: thing()})

    assert (ask(cloud), cloud.there) == (0, [])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--env", "lambda"), "RUN is not given"),
        (("--run", "mine", "--env", "lambda"), "RUN is mine, not a run id"),
        (("--run", RUN_ID), "ENV is not given"),
        (("--run", RUN_ID, "--env", "lamda"), "there is no cloud lamda"),
    ],
)
def test_what_cannot_be_meant_is_status_two(
    words: tuple[str, ...], message: str, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(FakeCloud(), *words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "err",
    [AccountError("lambda: there is no API key", resolution="-"), ZeroDivisionError("oh"), KeyboardInterrupt("interr")],
)
def test_whatever_goes_wrong_is_status_three(
    err: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(name: str, world: object) -> FakeCloud:
        raise err

    monkeypatch.setattr(terminate, "open_cloud", fail)

    assert terminate.main(["--run", RUN_ID, "--env", "lambda"], Quick({})) == 3
    assert str(getattr(err, "message", err)) in capsys.readouterr().err


def test_a_pipe_that_nobody_reads_keeps_no_machine(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    cloud = FakeCloud([thing()])

    with os.fdopen(writer, "w", buffering=1) as dead:
        monkeypatch.setattr(sys, "stdout", dead)
        assert (ask(cloud), cloud.there) == (0, [])


def test_it_loads_nothing_of_runs_plans_or_terraform() -> None:
    """What is broken elsewhere in the runner must not keep it from starting."""
    listing = "import sys, runner.cli.terminate; print(*(n for n in sys.modules if n.startswith('runner.')))"

    done = subprocess.run(
        [sys.executable, "-c", listing], cwd=PROJECT, capture_output=True, text=True, timeout=60, check=True
    )

    rooms = {name.split(".")[1] for name in done.stdout.split()}
    assert rooms <= {"cli", "cloud_api", "clouds", "errors", "safety", "world"}
