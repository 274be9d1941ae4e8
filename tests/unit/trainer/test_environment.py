"""What is measured of the machine."""

from __future__ import annotations

import pytest
import torch

from trainer.environment import memory_peak_gib


def test_the_memory_of_a_gpu_is_what_was_reserved_as_the_plan_predicts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: 6 * 2**30)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 5 * 2**30)

    assert memory_peak_gib(torch.device("cuda")) == 6.0
