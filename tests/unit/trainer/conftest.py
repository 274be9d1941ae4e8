"""Fixtures for tests that need a trained adapter."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trained_adapter import AdapterCase, train_tiny_adapter


@pytest.fixture(scope="session")
def adapter_case(tiny_model: Path, tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> AdapterCase:
    """A tiny adapter trained for a few steps on the 4-bit base, exported and not yet accepted (read it only)."""
    return train_tiny_adapter(tiny_model, tiny_dataset, tmp_path_factory.mktemp("trained") / "adapter")
