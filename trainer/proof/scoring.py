"""Scores of answers against references. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from trainer.files import object_or_none

CITATIONS = "citations"
FORMAT_SCORES = ("json_valid", "json_keys")
"""Scores that look at the form of an answer only."""


def score_answers(answers: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Return shares between 0 (none) and 1 (all), averaged over the answers.

    ``exact_match`` is always there: the answer is the reference, but for white space around it. When every reference
    is a JSON object there are also

    - ``json_valid``: the answer is a JSON object;
    - ``json_keys``: it has exactly the keys of the reference;
    - ``field_accuracy``: share of the reference's fields that it holds with the same value;
    - ``citations``: F1 of the cited items, when every reference has a list ``citations``.

    Raises:
        ValueError: If there is not one answer for each reference, or none at all.
    """
    if not references or len(answers) != len(references):
        raise ValueError(f"{len(answers)} answers for {len(references)} references")
    exact = [answer.strip() == reference.strip() for answer, reference in zip(answers, references, strict=True)]
    scores = {"exact_match": _mean(exact)}
    wanted = [object_or_none(reference) for reference in references]
    if any(item is None for item in wanted):
        return scores
    pairs = [(object_or_none(answer), item) for answer, item in zip(answers, wanted, strict=True) if item is not None]
    scores["json_valid"] = _mean([given is not None for given, _ in pairs])
    scores["json_keys"] = _mean([given is not None and given.keys() == item.keys() for given, item in pairs])
    scores["field_accuracy"] = _mean([_field_share(given or {}, item) for given, item in pairs])
    if all(isinstance(item.get(CITATIONS), list) for _, item in pairs):
        scores[CITATIONS] = _mean([_citation_f1(given or {}, item) for given, item in pairs])
    return scores


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _field_share(given: dict[str, Any], wanted: dict[str, Any]) -> float:
    if not wanted:
        return float(not given)
    return _mean([key in given and _same(given[key], value) for key, value in wanted.items()])


def _same(given: Any, wanted: Any) -> bool:
    """Compare JSON values; ``true`` is not ``1``, and ``1.0`` is."""
    if isinstance(given, bool) or isinstance(wanted, bool):
        return given is wanted
    return bool(given == wanted)


def _citation_f1(given: dict[str, Any], wanted: dict[str, Any]) -> float:
    found = given.get(CITATIONS)
    if not isinstance(found, list):
        return 0.0
    cited, true = (
        {json.dumps(item, sort_keys=True) for item in found},
        {json.dumps(item, sort_keys=True) for item in wanted[CITATIONS]},
    )
    if not cited and not true:
        return 1.0
    hits = len(cited & true)
    return 2 * hits / (len(cited) + len(true))
