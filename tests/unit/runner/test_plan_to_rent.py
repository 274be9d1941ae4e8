"""Plan for a rented machine: what is listed and allowed is tried, what is there already is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.clouds.models import Offer
from runner.config import RunFile
from runner.errors import NoCapacityError, UnreadableAnswerError
from runner.estimate.fit import DoesNotFitError
from runner.live import SilentView
from runner.steps import plan
from tests.unit.runner.estimate.test_model_shape import LLAMA_8B
from tests.unit.runner.fake_cloud import FakeCloud, thing

OFFER = Offer("gpu_1x_a10", "us-west-1", False, 0.75, "A10", 1, 24.0, available=True)


class Words(SilentView):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


def candidates(
    cloud: FakeCloud, offers: list[Offer], monkeypatch: pytest.MonkeyPatch, view: Words | None = None, **compute: Any
) -> list[dict[str, Any]]:
    monkeypatch.setattr(cloud, "offers", lambda: offers)
    monkeypatch.setattr(plan, "open_cloud", lambda name, environ: cloud)
    run_file = RunFile.model_validate({"data": {"train_path": "x"}, "compute": {"env": "lambda", **compute}})
    return plan._candidates(run_file, 1.0, None, view or Words())[0]


def test_what_is_listed_is_tried_at_its_price(monkeypatch: pytest.MonkeyPatch) -> None:
    assert candidates(FakeCloud(), [OFFER], monkeypatch) == [
        {"instance_type": "gpu_1x_a10", "region": "us-west-1", "spot": False, "max_price_usd_per_h": 0.75}
    ]


def test_what_is_too_dear_or_too_small_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(OFFER, gpu_memory_gib=8.0)

    with pytest.raises(NoCapacityError):
        candidates(FakeCloud(), [OFFER], monkeypatch, max_price_usd_per_h=0.5)
    with pytest.raises(NoCapacityError):
        candidates(FakeCloud(), [small], monkeypatch)


def test_what_bills_already_is_told_before_more_is_rented(monkeypatch: pytest.MonkeyPatch) -> None:
    view = Words()

    candidates(FakeCloud([thing()]), [OFFER], monkeypatch, view)

    assert "there already instance i-1 of run 20261121-015500-tiny, 1.00 $/h" in view.lines


def test_nothing_is_rented_in_an_account_that_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    trouble = UnreadableAnswerError("lambda: no list", resolution="look")

    with pytest.raises(UnreadableAnswerError):
        candidates(FakeCloud(listing_troubles=[trouble]), [OFFER], monkeypatch)


def test_a_given_machine_asks_no_cloud(tmp_path: Path) -> None:
    run_file = RunFile.model_validate({"data": {"train_path": "x"}})

    found, prices = plan._candidates(run_file, 1.0, None, Words())

    assert (found[0]["instance_type"], prices) == ("this-machine", [0.0])


def shape_folder(folder: Path, **changes: Any) -> Path:
    """Return a model folder with the configuration of an 8B model in it."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LLAMA_8B | changes))
    return folder


def rented(**compute: Any) -> RunFile:
    return RunFile.model_validate({"data": {"train_path": "x"}, "compute": {"env": "lambda", **compute}})


def test_a_gpu_that_the_run_does_not_fit_is_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud, run_file = FakeCloud(), rented(min_gpu_memory_gib=0)
    monkeypatch.setattr(cloud, "offers", lambda: [replace(OFFER, instance_type="tiny", gpu_memory_gib=8.0), OFFER])
    monkeypatch.setattr(plan, "open_cloud", lambda name, environ: cloud)
    need = plan._gpu_need(run_file, shape_folder(tmp_path / "model"), {}, Words())

    found, _ = plan._candidates(run_file, 1.0, need, Words())

    assert [candidate["instance_type"] for candidate in found] == ["gpu_1x_a10"]


def test_a_run_that_fits_no_listed_gpu_is_refused_before_anything_is_rented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud, run_file = FakeCloud(), rented()
    monkeypatch.setattr(cloud, "offers", lambda: [OFFER])
    monkeypatch.setattr(plan, "open_cloud", lambda name, environ: cloud)
    need = plan._gpu_need(run_file, shape_folder(tmp_path / "model", num_hidden_layers=320), {}, Words())

    with pytest.raises(DoesNotFitError, match="and the largest here, A10, has 24 GiB"):
        plan._candidates(run_file, 1.0, need, Words())


def test_a_model_whose_layers_are_not_known_is_told_and_tried(tmp_path: Path) -> None:
    view = Words()

    assert plan._gpu_need(rented(), shape_folder(tmp_path / "model", model_type="mamba"), {}, view) is None
    assert view.lines == ["GPU memory   not known: the layers of a model of type mamba are not known"]


def test_where_no_gpu_is_asked_for_none_is_measured(tmp_path: Path) -> None:
    assert plan._gpu_need(rented(gpu_required=False), tmp_path, {}, Words()) is None
