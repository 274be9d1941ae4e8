"""Answers of a store as boto3 gives them, changed on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.client import BaseClient


def change_answers(patch: pytest.MonkeyPatch, change: Callable[[str, Any, Any], Any]) -> None:
    """Let each answer be what is made of it.

    Args:
        patch: Undoes it.
        change: Takes the name of the operation, what was asked with, and the answer; returns another one.
    """
    ask = BaseClient._make_api_call

    def changed(client: Any, name: str, values: Any) -> Any:
        return change(name, values, ask(client, name, values))

    patch.setattr(BaseClient, "_make_api_call", changed)
