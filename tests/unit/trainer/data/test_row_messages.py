"""A message of a role and a text is read by a short way: to the same end as the long way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trainer.data.row_messages import _ROLES, read_messages
from trainer.data.sources.row import Row
from trainer.errors import DataError


def outcome(message: dict[str, Any]) -> object:
    """Return the message that was read, or the parts of the error."""
    row = Row(Path("train.jsonl"), 3, {"messages": [message]})
    try:
        return read_messages(row, [message], frozenset()).messages
    except DataError as err:
        return err.message, err.resolution, err.details


@pytest.mark.parametrize(
    "content", ["Words.", "", "  ", "<image>", "a <image>", "\ud800", None, 7, ["a", "b"], {"a": 1}]
)
@pytest.mark.parametrize("role", [*_ROLES, "User", "narrator", "", None, 7, ["user"]])
def test_the_short_way_leads_to_the_same_message_or_the_same_refusal(role: Any, content: Any) -> None:
    plain = {"role": role, "content": content}

    assert outcome(plain) == outcome({**plain, "id": None})  # what is null counts as absent
