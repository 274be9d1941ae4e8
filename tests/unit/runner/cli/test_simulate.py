"""``make simulate``: one life with its history, many with a verdict, and the exit status that goes with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.cli import simulate
from runner.rehearsal.services import clouds_to_go_on, simulated_clouds
from runner.simulation import many, page, rules
from runner.simulation.many import Tally
from runner.simulation.rules import Broken


@pytest.fixture(autouse=True)
def no_guard() -> None:
    """Let a life start the guard that it starts, in place of the list that other tests have for one."""


def test_one_life_is_shown_with_its_history(capsys: pytest.CaptureFixture[str]) -> None:
    status = simulate.main(["--seed", "3"])

    printed = capsys.readouterr().out
    assert status == 0
    assert printed.startswith("seed 3 on lambda, history ")
    assert "user types train" in printed


def test_one_life_that_breaks_a_rule_is_exit_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rules, "judge", lambda one: [Broken("it ends", f"{one.seed} does not")])

    assert simulate.main(["--seed", "3"]) == 1
    assert capsys.readouterr().out.endswith("BROKEN: it ends: 3 does not\n")


def test_a_page_is_written_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(page, "write_life_page", lambda life, folder: tmp_path / f"{folder.name}-{life.seed}")

    assert simulate.main(["--seed", "3", "--report"]) == 0
    assert capsys.readouterr().out.endswith(f"page         {tmp_path}/runs-3\n")


def test_a_page_of_many_lives_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate.main(["--report"]) == 2

    assert capsys.readouterr().err == (
        "error: simulate: a page shows one life, and no seed is given\nhint:  add SEED=<number>\n"
    )


def test_many_lives_end_with_the_digest_of_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[object] = []
    tally = Tally(lives=2, digests={0: "a", 1: "b"})
    monkeypatch.setattr(many, "live_many", lambda *words: asked.append(words[:2]) or tally)

    assert simulate.main(["--seeds", "2", "--env", "runpod"]) == 0
    assert asked == [(range(2), "runpod")]
    assert capsys.readouterr().out == f"history      {tally.digest}\n"


def test_a_broken_rule_is_told_and_exit_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tally = Tally(lives=9, digests={8: "a"}, broken={8: [Broken("it ends", "stuck")]})
    monkeypatch.setattr(many, "live_many", lambda *words: tally)
    monkeypatch.setattr(many, "tell", lambda seed, broken, *words: [f"seed {seed}: {broken.why}"])

    assert simulate.main([]) == 1
    assert capsys.readouterr().out.splitlines()[1:] == ["broken       seed 8: it ends: stuck", "seed 8: stuck"]


def test_a_cloud_without_simulated_lives_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulate, "simulated_clouds", lambda: ["lambda", "runpod"])

    assert simulate.main(["--seed", "1", "--env", "aws"]) == 2

    assert capsys.readouterr().err.startswith("error: simulate: lives on aws are not simulated\nhint:  ENV=lambda")


def test_the_simulated_clouds_are_known() -> None:
    assert simulated_clouds() == ["lambda", "runpod", "aws"]
    assert clouds_to_go_on() == ["lambda", "runpod"]  # else what seeds draw there would change


def test_ctrl_c_ends_it_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*words: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(simulate, "_one", lambda *words, **more: interrupted())

    assert simulate.main(["--seed", "3"]) == 130
