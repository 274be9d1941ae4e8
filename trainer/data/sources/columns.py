"""Columns by name: what a file calls them becomes what Douse calls them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from trainer.config.sections import Column

PROMPTS = ("prompt", "question", "query", "instruction", "input", "problem", "user", "human", "source")
"""What files call the words that the model is asked, the likeliest first."""
ANSWERS = ("completion", "answer", "response", "output", "solution", "assistant", "gpt", "target", "chosen_answer")
"""What files call the words that it learns, the likeliest first."""
INPUTS = ("context", "input")
"""What files call the text that a question is about."""


def renamed(values: Mapping[str, Any], columns: Mapping[Column, str]) -> tuple[dict[str, Any], list[str]]:
    """Return a row under the names that Douse knows, null columns left out.

    Args:
        values: The row as the file has it.
        columns: Which column of the file stands for which of Douse's names.

    Returns:
        The row, and the columns of it that another one has replaced.
    """
    taken = {source for source in columns.values() if source in values}
    found: dict[str, Any] = {name: values[source] for name, source in columns.items() if source in values}
    rest = {name: value for name, value in values.items() if name not in taken}
    replaced = [name for name in rest if name in found and rest[name] is not None]
    return {name: value for name, value in {**rest, **found}.items() if value is not None}, replaced


def columns_hint(names: Collection[str]) -> str | None:
    """Return the ``data.columns`` that a file with these columns seems to need, or ``None``."""
    by_lower = {name.lower(): name for name in names}
    prompt = next((by_lower[name] for name in PROMPTS if name in by_lower), None)
    answer = next((by_lower[name] for name in ANSWERS if name in by_lower and by_lower[name] != prompt), None)
    if prompt is None or answer is None:
        return None
    context = next((by_lower[name] for name in INPUTS if by_lower.get(name) not in (None, prompt, answer)), None)
    if context is not None:
        return f"set `data.columns: {{instruction: {prompt}, input: {context}, output: {answer}}}`"
    return f"set `data.columns: {{prompt: {prompt}, completion: {answer}}}`"
