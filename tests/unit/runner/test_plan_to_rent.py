"""Plan for a rented machine: what is listed and allowed is tried, what is there already is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.clouds.models import Offer
from runner.config import RunFile
from runner.errors import NoCapacityError, UnreadableAnswerError
from runner.live import SilentView
from runner.steps import plan
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
    return plan._candidates(run_file, 1.0, view or Words())[0]


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

    found, prices = plan._candidates(run_file, 1.0, Words())

    assert (found[0]["instance_type"], prices) == ("this-machine", [0.0])
