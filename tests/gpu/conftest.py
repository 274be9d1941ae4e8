"""Tests for a machine with an NVIDIA GPU; elsewhere they are skipped, with the reason.

``make test-gpu PYTHON=…`` runs them, with an interpreter that has pytest, pytest-timeout and what the lock for this
driver names (playbooks/roles/nvidia_driver/vars/main.yml). They have not run on a GPU so far.
"""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    if not here:
        return
    import torch  # the tests that were collected here have imported it

    no_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no NVIDIA GPU on this machine")
    for item in here:
        item.add_marker(pytest.mark.gpu)
        item.add_marker(no_gpu)
