"""The trainer computes on one GPU, however many a machine has."""

from __future__ import annotations

import os

import pytest

from trainer.environment import use_one_gpu


@pytest.mark.parametrize(
    ("visible", "left"), [(None, "0"), ("", ""), ("2", "2"), ("3,1", "3"), ("GPU-8a56,GPU-1", "GPU-8a56")]
)
def test_the_first_gpu_that_may_be_used_is_the_only_one(
    visible: str | None, left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    use_one_gpu()

    assert os.environ["CUDA_VISIBLE_DEVICES"] == left
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
