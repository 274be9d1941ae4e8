"""Questions in threads: an answer, an error, nobody there, somebody who wants out."""

from __future__ import annotations

import threading

import pytest

from runner.planning.checks.asking import NoAnswerError, Question, lines_of
from runner.planning.checks.line import Check, passed
from runner.world import RealWorld


def test_an_answer_is_returned() -> None:
    assert Question(RealWorld(), lambda: 42, name="six times seven").answer() == 42


def test_what_asking_raises_is_raised_where_the_answer_is_waited_for() -> None:
    def break_down() -> None:
        raise ZeroDivisionError("oh")

    question = Question(RealWorld(), break_down, name="broken")

    with pytest.raises(ZeroDivisionError, match="oh"):
        question.answer()


def test_nobody_is_waited_for_longer_than_there_is_patience() -> None:
    over = threading.Event()
    question = Question(RealWorld(), over.wait, name="slow", patience_s=0.01)

    with pytest.raises(NoAnswerError, match=r"no answer within 0\.01 s"):
        question.answer()
    over.set()


def test_a_wish_to_stop_is_heard_while_waiting() -> None:
    over = threading.Event()
    question = Question(RealWorld(), over.wait, name="slow", patience_s=60)

    def wants_out() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        question.answer(wants_out)
    over.set()


def test_lines_are_passed_on() -> None:
    assert lines_of(Question(RealWorld(), lambda: [passed("store", "fine")], name="store"), ["store"]) == [
        passed("store", "fine")
    ]


def test_a_line_that_nobody_gives_is_a_warning() -> None:
    over = threading.Event()

    def slow() -> list[Check]:
        over.wait(240)
        return []

    found = lines_of(Question(RealWorld(), slow, name="slow", patience_s=0.01), ["cloud key", "balance"])

    over.set()
    assert [(check.name, check.status) for check in found] == [("cloud key", "warn"), ("balance", "warn")]
    assert found[0].value == "could not be asked: no answer within 0.01 s"
