"""Simulated lives have guards of their own, which are processes of a virtual computer."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_guard() -> None:
    """Let a life start the guard that it starts, in place of the list that other tests have for one."""
