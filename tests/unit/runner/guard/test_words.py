"""Words on a pipe: whole lines only, and an end that is noticed."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from runner.guard.words import Facts, Held, PipedWords, Receivers, facts_in, held_in, line_of
from runner.run.models import Host
from runner.world import RealWorld

HELD = Held(7200.0, 600.0, Host("h", 22, "u", "i", "t", "r", False, 1.0, None, "lambda"), "/p", "key\n", "known\n")


@pytest.fixture
def pipe() -> Iterator[tuple[PipedWords, int]]:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb", buffering=0) as writer, os.fdopen(reading, "rb"):
        yield PipedWords(RealWorld(), reading), writer.fileno()


def test_a_word_comes_as_it_was_said(pipe: tuple[PipedWords, int]) -> None:
    words, writing = pipe
    os.write(writing, line_of("alive") + line_of("hold", HELD))

    alive, hold = words.next(60)

    assert alive == {"word": "alive"}
    assert held_in(hold) == HELD


@pytest.mark.parametrize(
    "receivers", [None, Receivers(["${A}"], ["failed"], ["notify-send"], "/home/me", {"A": "secret"})]
)
def test_facts_come_as_they_were_said_and_show_no_secret(
    receivers: Receivers | None, pipe: tuple[PipedWords, int]
) -> None:
    facts = Facts("a-run", "lambda", "/runs/a-run", 900.0, 60.0, 3600.0, "https://cloud", receivers)
    words, writing = pipe
    os.write(writing, line_of("facts", facts))

    found = facts_in(words.next(60)[0])

    assert found == facts
    assert "secret" not in repr(found)


def test_half_a_line_waits_for_the_other_half(pipe: tuple[PipedWords, int]) -> None:
    words, writing = pipe
    line = line_of("hold", HELD)
    os.write(writing, line[:20])

    assert words.next(60) == []
    os.write(writing, line[20:])

    assert held_in(words.next(60)[0]) == HELD


def test_a_runner_that_says_nothing_is_there_and_one_that_is_gone_is_not() -> None:
    reading, writing = os.pipe()
    words = PipedWords(RealWorld(), reading)

    assert (words.next(0), words.has_ended) == ([], False)
    os.close(writing)

    assert (words.next(60), words.has_ended) == ([], True)
    assert words.next(0) == []
    os.close(reading)
