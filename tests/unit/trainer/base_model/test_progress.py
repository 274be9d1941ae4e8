"""Loading is reported while it goes on, and leaves transformers as it was."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from trainer.base_model.progress import BAR, PERIOD_S, loading_reported


def test_transformers_reports_its_tensors_here(tiny_model: Path) -> None:
    told: list[tuple[int, int]] = []
    ticks = count(step=PERIOD_S)

    with loading_reported(lambda done, total: told.append((done, total)), clock=lambda: next(ticks)):
        model = AutoModelForCausalLM.from_pretrained(tiny_model)

    tensors = len(dict(model.named_parameters()))
    assert told == [(done, tensors) for done in range(tensors + 1)]


def test_a_short_loading_is_one_report_and_other_bars_are_left_alone() -> None:
    told: list[tuple[int, int]] = []

    with loading_reported(lambda done, total: told.append((done, total)), clock=lambda: 0.0):
        assert list(logging.tqdm([1, 2, 3], desc=BAR)) == [1, 2, 3]
        assert list(logging.tqdm([1, 2], desc="Something else")) == [1, 2]

    assert told == [(3, 3)]


def test_a_hook_of_before_is_back_after_the_block_whatever_happens() -> None:
    def earlier(factory: object, args: object, options: object) -> str:
        return "earlier"

    before = logging.set_tqdm_hook(earlier)
    try:
        with pytest.raises(RuntimeError), loading_reported(lambda *_: None):
            raise RuntimeError
        assert logging.set_tqdm_hook(None) is earlier
    finally:
        logging.set_tqdm_hook(before)
