from __future__ import annotations

import json
from typing import Any

import pytest

from trainer.proof.scoring import score_answers

REFERENCE = {"answer": 12, "unit": "m", "citations": ["page 1", "page 2"]}


def test_prose_references_are_scored_by_exact_match_alone() -> None:
    assert score_answers([" Paris\n", "Rome"], ["Paris", "Oslo"]) == {"exact_match": 0.5}


def test_references_of_which_one_is_no_json_object_are_prose() -> None:
    assert score_answers(["{}", "{}"], ['{"a": 1}', "[1]"]) == {"exact_match": 0.0}


def test_a_perfect_json_answer_scores_one_everywhere() -> None:
    assert _scores(REFERENCE) == {
        "exact_match": 1.0,
        "json_valid": 1.0,
        "json_keys": 1.0,
        "field_accuracy": 1.0,
        "citations": 1.0,
    }


def test_an_answer_that_is_no_json_scores_zero_everywhere() -> None:
    scores = score_answers(["The answer is 12 m."], [json.dumps(REFERENCE)])

    assert scores == {"exact_match": 0.0, "json_valid": 0.0, "json_keys": 0.0, "field_accuracy": 0.0, "citations": 0.0}


@pytest.mark.parametrize(
    ("change", "name", "expected"),
    [
        ({"answer": 13}, "field_accuracy", 2 / 3),
        ({"answer": "12"}, "field_accuracy", 2 / 3),
        ({"answer": 12.0}, "field_accuracy", 1.0),
        ({"citations": ["page 2", "page 1"]}, "citations", 1.0),
        ({"citations": ["page 2"]}, "citations", 2 / 3),
        ({"citations": ["page 2", "page 9", "page 8"]}, "citations", 2 / 5),
        ({"citations": []}, "citations", 0.0),
        ({"citations": "page 1"}, "citations", 0.0),
        ({"citations": [{"page": 1}]}, "citations", 0.0),
        ({"note": "more"}, "json_keys", 0.0),
        ({"note": "more"}, "json_valid", 1.0),
    ],
)
def test_each_fault_of_an_answer_costs_its_own_score(change: dict[str, Any], name: str, expected: float) -> None:
    assert _scores({**REFERENCE, **change})[name] == pytest.approx(expected)


def test_true_is_not_one() -> None:
    scores = score_answers(['{"found": 1}'], ['{"found": true}'])

    assert scores["field_accuracy"] == 0.0


def test_scores_are_averaged_over_the_answers() -> None:
    reference = json.dumps(REFERENCE)

    assert score_answers([reference, "no"], [reference, reference])["json_valid"] == 0.5


@pytest.mark.parametrize(("answers", "references"), [(["a"], []), ([], []), (["a"], ["a", "b"])])
def test_every_reference_needs_one_answer(answers: list[str], references: list[str]) -> None:
    with pytest.raises(ValueError, match="answers for"):
        score_answers(answers, references)


def _scores(answer: dict[str, Any]) -> dict[str, float]:
    return score_answers([json.dumps(answer)], [json.dumps(REFERENCE)])
