"""``make prices``: the lists are written from what the clouds say, and what fails leaves its list alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runner.cli import account_verbs
from runner.cli import parser as cli
from runner.cloud_api import published
from runner.cloud_api.environment import PriceRules
from runner.cloud_api.models import Offer
from runner.clouds.registry import CLOUDS, Accounts
from runner.errors import EXIT_LEFTOVERS, AccessDeniedError, CloudError, CloudUnavailableError
from runner.prices import refresh as price
from runner.rehearsal import drive
from runner.rehearsal.verdict import Verdict
from runner.safety.sweeps_seen import last_sweep
from runner.simulation.world import VirtualWorld
from runner.world import RealWorld
from tests.unit.runner.fake_cloud import FakeCloud, thing

OFFER = Offer("gpu_1x_a10", "us-west-1", False, 0.75, "A10", 1, 24.0, available=True)


@pytest.fixture
def lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, str | None]]:
    """Clouds lambda and runpod, and what would be written."""
    written: list[tuple[str, int, str | None]] = []
    clouds = {name: FakeCloud(name=name) for name in ("lambda", "runpod")}
    for cloud in clouds.values():
        monkeypatch.setattr(cloud, "offers", lambda trust: [OFFER])
    monkeypatch.setattr(account_verbs, "configured", lambda environ: list(clouds.values()))
    monkeypatch.setattr(account_verbs, "open_cloud", lambda name, environ: clouds[name])

    def refresh(
        cloud: str, offers: list[Offer], today: Any, rules: PriceRules, *, source: str | None = None
    ) -> price.Refreshed:
        assert rules == CLOUDS[cloud.removesuffix("-community")].prices
        if cloud == "runpod" and not offers:
            raise CloudUnavailableError("runpod: empty", resolution="-")
        written.append((cloud, len(offers), source))
        return price.Refreshed(cloud, tmp_path / f"{cloud}.csv", 2, 3, 1 if source is None else 0)

    monkeypatch.setattr(price, "refresh", refresh)
    monkeypatch.setattr(published, "what_moved", lambda found, world: [f"asked {found.url}"])
    for variable in ("DOUSE_LAMBDA_ENDPOINT", "DOUSE_RUNPOD_ENDPOINT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(price, "gpuhunt_offers", lambda name, names: [OFFER, OFFER])
    return written


def ask(folder: Path, *words: str) -> int:
    return cli.main(["prices", "--runs-dir", str(folder / "runs"), *words])


def test_each_configured_cloud_is_asked(
    lists: list[tuple[str, int, str | None]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(tmp_path) == 0
    assert lists == [("lambda", 1, None), ("runpod", 1, None)]
    assert f"2 rows before, 3 now, 1 of them as they were: {tmp_path}/lambda.csv" in capsys.readouterr().out


def test_what_moved_in_a_vendors_api_is_shown_and_fails_nothing(
    lists: list[tuple[str, int, str | None]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(tmp_path, "--env", "lambda") == 0

    assert "lambda           API: asked https://cloud.lambda.ai/api/v1/openapi.json\n" in capsys.readouterr().out


def test_no_vendor_is_asked_for_an_emulated_cloud_or_for_somebody_elses_catalogue(
    lists: list[tuple[str, int, str | None]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert ask(tmp_path, "--env", "lambda", "--gpuhunt") == 0
    monkeypatch.setenv("DOUSE_LAMBDA_ENDPOINT", "http://127.0.0.1:1/api/v1")
    assert ask(tmp_path, "--env", "lambda") == 0

    assert "API:" not in capsys.readouterr().out


def test_strangers_machines_are_asked_for_and_have_a_list_of_their_own(
    lists: list[tuple[str, int, str | None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    community = replace(OFFER, trust="community")
    listed = {"secure": [OFFER], "any": [OFFER, community, community]}
    monkeypatch.setattr(account_verbs.configured({})[1], "offers", listed.get)

    assert ask(tmp_path, "--env", "runpod") == 0
    assert lists == [("runpod", 1, None), ("runpod-community", 2, None)]


def test_a_rehearsal_serves_the_clouds_on_which_the_run_may_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[drive.Rehearsal] = []

    def act(rehearsal: drive.Rehearsal, *_: object) -> Verdict:
        asked.append(rehearsal)
        return Verdict(0, [], [], None, [], [], str(tmp_path))

    monkeypatch.setattr(drive, "rehearse", act)
    config = tmp_path / "run.yml"
    config.write_text("data: {train_path: train.jsonl}\ncompute: {recoveries: 1, recover_on: [runpod, local, vultr]}\n")
    words = ["rehearse", "--config", str(config), "--env", "aws", "--folder", str(tmp_path)]

    assert cli.main(words) == 0
    assert cli.main([*words, "--set", "compute.recover_on=[]"]) == 0

    assert [rehearsal.others for rehearsal in asked] == [["runpod"], []]


def test_one_cloud_may_be_named(lists: list[tuple[str, int, str | None]], tmp_path: Path) -> None:
    assert ask(tmp_path, "--env", "runpod") == 0
    assert lists == [("runpod", 1, None)]


def test_gpuhunt_needs_no_account(lists: list[tuple[str, int, str | None]], tmp_path: Path) -> None:
    assert ask(tmp_path, "--env", "aws", "--gpuhunt") == 0
    assert lists == [("aws", 2, "gpuhunt's catalogue")]


def test_a_cloud_that_fails_does_not_keep_the_others_from_theirs(
    lists: list[tuple[str, int, str | None]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clouds = account_verbs.configured({})
    monkeypatch.setattr(clouds[1], "offers", lambda trust: [])

    assert ask(tmp_path) == 1
    assert lists == [("lambda", 1, None)]
    assert "error: prices: runpod: runpod: empty" in capsys.readouterr().err


def test_without_an_account_there_is_nobody_to_ask(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_verbs, "configured", lambda environ: [])

    assert ask(tmp_path) == 2
    assert "there is no account to ask" in capsys.readouterr().err


def test_a_sweep_that_leaves_something_says_as_well_what_it_could_not_look_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stuck = thing(expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    refusals: list[CloudError | None] = [AccessDeniedError("lambda: may not", resolution="-")] * 1000
    clouds = [
        FakeCloud([stuck], end_troubles=refusals),
        FakeCloud(name="runpod", listing_troubles=[CloudUnavailableError("runpod: silent", resolution="-")]),
    ]
    monkeypatch.setattr(account_verbs, "accounts", lambda world: Accounts(list(clouds), {}, {}))

    status = cli.main(["sweep", "--apply", "--runs-dir", str(tmp_path / "runs")], VirtualWorld())

    said = capsys.readouterr()
    assert status == EXIT_LEFTOVERS
    assert "runpod could not be read: runpod: silent" in said.out
    assert "lambda still has instance i-1" in said.err


@pytest.mark.parametrize(
    ("words", "unread", "is_noted"),
    [(["--apply"], [], True), ([], [], False), (["--apply"], [CloudUnavailableError("-", resolution="-")], False)],
)
def test_a_sweep_that_terminates_and_sees_all_is_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], unread: list[Any], is_noted: bool
) -> None:
    """A plan reads it: nothing else terminates a lost machine on a cloud that ends none by itself."""
    clouds = [FakeCloud(unread=unread)]
    monkeypatch.setattr(account_verbs, "accounts", lambda world: Accounts(list(clouds), {}, {}))

    cli.main(["sweep", "--runs-dir", str(tmp_path / "runs"), *words])

    assert (last_sweep(tmp_path / "runs", "lambda", RealWorld()) is not None) is is_noted


def test_all_terminates_no_volume_that_only_looks_like_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud([thing("volume", "douse-models", run_id=None), thing("volume", "v-1"), thing()])
    monkeypatch.setattr(account_verbs, "accounts", lambda world: Accounts([cloud], {}, {}))

    assert cli.main(["sweep", "--apply", "--all", "--runs-dir", str(tmp_path / "runs")], VirtualWorld()) == 0

    assert [found.id for found in cloud.there] == ["douse-models"]


@pytest.mark.parametrize(("hours", "way"), [(2, "slow"), (-2, "fast")])
def test_a_sweep_says_that_a_clock_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], hours: int, way: str
) -> None:
    clouds = [FakeCloud(clock_off=timedelta(hours=hours))]
    monkeypatch.setattr(account_verbs, "accounts", lambda world: Accounts(list(clouds), {}, {}))

    assert cli.main(["sweep", "--runs-dir", str(tmp_path / "runs")]) == 0

    assert f"this computer's is 120 min {way} by that of lambda" in capsys.readouterr().out
