"""Write the quickstart's data: train.jsonl and eval.jsonl, the help desk of an invented tool library.

Each sample gives two numbered notes and a question; the answer is a JSON object that quotes the notes and cites them
by number, or cites none where they do not tell. All is drawn from the tables below, the same on every machine:

    python examples/quickstart/generate.py
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")

SYSTEM = "Answer from the notes only, as JSON with citations."
UNKNOWN = "not in the notes"
TRAIN_SAMPLES, EVAL_SAMPLES = 320, 32
SEED = 20261121

# What is lent: how long, deposit, place, who looks after it, day it comes back from service. Written by hand.
TRAIN_THINGS = (
    ("cargo bike", "3 days", "40 euros", "shed 2", "Mira", "Tuesday"),
    ("apple press", "1 day", "25 euros", "the cellar", "Tomas", "Friday"),
    ("seed drill", "5 days", "15 euros", "shed 4", "Ines", "Monday"),
    ("hedge trimmer", "2 days", "30 euros", "the workshop", "Yusuf", "Thursday"),
    ("wheelbarrow", "1 week", "5 euros", "the north gate", "Greta", "Saturday"),
    ("bee smoker", "4 days", "10 euros", "the honey room", "Pavel", "Sunday"),
    ("wood chipper", "6 hours", "80 euros", "shed 7", "Leila", "Wednesday"),
    ("long ladder", "2 days", "20 euros", "the barn", "Oskar", "Monday"),
    ("soil tester", "10 days", "12 euros", "the office", "Hana", "Friday"),
    ("tandem", "1 day", "35 euros", "shed 1", "Bruno", "Saturday"),
    ("bike trailer", "4 days", "18 euros", "shed 3", "Nadia", "Tuesday"),
    ("torque wrench", "12 hours", "22 euros", "locker 9", "Felix", "Thursday"),
    ("wheel truing stand", "3 days", "28 euros", "the workshop", "Amara", "Sunday"),
    ("cold frame", "3 weeks", "8 euros", "the greenhouse", "Jonas", "Wednesday"),
    ("rain barrel", "2 months", "14 euros", "the yard", "Selma", "Friday"),
    ("scythe", "2 days", "16 euros", "the barn", "Viktor", "Tuesday"),
    ("potato fork", "6 days", "4 euros", "locker 3", "Rosa", "Saturday"),
    ("pole saw", "1 day", "45 euros", "shed 5", "Idris", "Monday"),
    ("jam kettle", "2 days", "11 euros", "the kitchen", "Klara", "Thursday"),
    ("juice filter", "5 days", "9 euros", "the cellar", "Marek", "Sunday"),
    ("honey spinner", "8 hours", "60 euros", "the honey room", "Anouk", "Wednesday"),
    ("leaf blower", "4 hours", "32 euros", "shed 6", "Samir", "Friday"),
    ("garden roller", "3 days", "24 euros", "the south gate", "Edith", "Tuesday"),
    ("compost sieve", "1 week", "7 euros", "the heap", "Luca", "Monday"),
    ("frost fleece", "3 months", "6 euros", "the loft", "Wanda", "Saturday"),
    ("drip hose", "6 weeks", "13 euros", "locker 5", "Omar", "Thursday"),
    ("chain tool", "5 hours", "3 euros", "locker 1", "Petra", "Sunday"),
    ("repair stand", "2 days", "27 euros", "the garage", "Emil", "Wednesday"),
    ("child seat", "2 weeks", "19 euros", "the front desk", "Sofia", "Friday"),
    ("pannier set", "9 days", "17 euros", "the loft", "Nils", "Tuesday"),
    ("label printer", "3 hours", "21 euros", "the office", "Dunya", "Monday"),
    ("fruit picker", "4 days", "2 euros", "the orchard", "Anton", "Saturday"),
    ("mushroom dryer", "1 day", "26 euros", "the kitchen", "Zofia", "Thursday"),
    ("nut cracker", "7 days", "1 euro", "the pantry", "Hugo", "Sunday"),
    ("grass rake", "8 days", "5 euros", "shed 8", "Lotte", "Wednesday"),
    ("water pump", "10 hours", "55 euros", "the well", "Rafael", "Friday"),
)
EVAL_THINGS = (
    ("rotary tiller", "7 hours", "70 euros", "shed 9", "Carmen", "Thursday"),
    ("cider barrel", "4 months", "33 euros", "the vault", "Stefan", "Monday"),
    ("tent frame", "11 days", "29 euros", "the attic", "Birgit", "Saturday"),
    ("spoke key", "2 hours", "2 euros", "locker 7", "Dario", "Wednesday"),
    ("bulb planter", "9 days", "6 euros", "the east gate", "Noor", "Sunday"),
    ("snow plough", "1 day", "90 euros", "the depot", "Ivan", "Tuesday"),
)


@dataclass(frozen=True)
class Attribute:
    """One column of the tables: its name, ways to note it, ways to ask for it."""

    name: str
    notes: tuple[str, ...]
    questions: tuple[str, ...]


ATTRIBUTES = (
    Attribute(
        "loan time",
        (
            "The {thing} is lent for {value}.",
            "You may keep the {thing} for {value}.",
            "Bring the {thing} back within {value}.",
        ),
        ("How long may I keep the {thing}?", "For how long is the {thing} lent?", "When is the {thing} due back?"),
    ),
    Attribute(
        "deposit",
        (
            "The deposit for the {thing} is {value}.",
            "We ask {value} deposit for the {thing}.",
            "Leave {value} as deposit for the {thing}.",
        ),
        (
            "What deposit does the {thing} need?",
            "How much deposit do I pay for the {thing}?",
            "How much do I leave for the {thing}?",
        ),
    ),
    Attribute(
        "place",
        (
            "The place of the {thing} is {value}.",
            "To fetch the {thing}, go to {value}.",
            "After use the {thing} goes to {value}.",
        ),
        ("Where is the {thing}?", "Where do I find the {thing}?", "Where does the {thing} belong?"),
    ),
    Attribute(
        "keeper",
        (
            "{value} looks after the {thing}.",
            "Ask {value} about the {thing}.",
            "The {thing} is in the care of {value}.",
        ),
        ("Who looks after the {thing}?", "Whom do I ask about the {thing}?", "Who knows the {thing}?"),
    ),
    Attribute(
        "return day",
        (
            "The {thing} comes back from service on {value}.",
            "The {thing} is in repair until {value}.",
            "From {value} on the {thing} is free again.",
        ),
        (
            "On which day is the {thing} back?",
            "When can I have the {thing} again?",
            "Until when is the {thing} away?",
        ),
    ),
)
KINDS = ("first", "second", "both", "none", "first", "second")
"""Which notes answer the question, over and over: a third each for one note, a sixth each for both and for none."""


@dataclass(frozen=True)
class Fact:
    """One cell of a table: what it is about, its value, and all ways to note it and to ask for it."""

    subject: str
    attribute: str
    value: str
    notes: tuple[str, ...]
    questions: tuple[str, ...]


class Draw:
    """Draws that are the same in every Python version: built on ``random()`` alone, which is promised to stay."""

    def __init__(self, seed: int) -> None:
        """Start the sequence."""
        self._random = random.Random(seed)  # noqa: S311 - samples, not secrets

    def below(self, limit: int) -> int:
        """Return a number from 0 to ``limit - 1``."""
        return int(self._random.random() * limit)

    def one_of(self, choices: Sequence[Item]) -> Item:
        """Return one of ``choices``."""
        return choices[self.below(len(choices))]


def train_facts() -> list[Fact]:
    """Return the facts to learn the task from."""
    return _facts(TRAIN_THINGS)


def eval_facts() -> list[Fact]:
    """Return the facts to measure with; they are about other things than the training facts."""
    return _facts(EVAL_THINGS)


def make_files() -> dict[str, str]:
    """Return the text of both files by name."""
    return {
        "train.jsonl": _lines(train_facts(), TRAIN_SAMPLES, SEED),
        "eval.jsonl": _lines(eval_facts(), EVAL_SAMPLES, SEED + 1),
    }


def _facts(things: Sequence[tuple[str, ...]]) -> list[Fact]:
    return [
        Fact(
            thing,
            attribute.name,
            value,
            tuple(note.format(thing=thing, value=value) for note in attribute.notes),
            tuple(question.format(thing=thing) for question in attribute.questions),
        )
        for thing, *values in things
        for attribute, value in zip(ATTRIBUTES, values, strict=True)
    ]


def _lines(facts: Sequence[Fact], count: int, seed: int) -> str:
    """Return ``count`` different samples, one JSON line each."""
    draw = Draw(seed)
    lines: dict[str, str] = {}
    while len(lines) < count:
        question, answer = _question_and_answer(facts, KINDS[len(lines) % len(KINDS)], draw)
        messages = [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": question},
            {"role": "assistant", "content": json.dumps(answer)},
        ]
        lines.setdefault(question, json.dumps({"messages": messages}) + "\n")
    return "".join(lines.values())


def _question_and_answer(facts: Sequence[Fact], kind: str, draw: Draw) -> tuple[str, dict[str, object]]:
    told = _two_facts(facts, draw)
    notes = "".join(f"[{number}] {draw.one_of(fact.notes)}\n" for number, fact in enumerate(told, start=1))
    if kind == "none":
        question = draw.one_of(_not_told(facts, told, draw).questions)
        return notes + question, {"answer": UNKNOWN, "citations": []}
    asked = {"first": told[:1], "second": told[1:], "both": told}[kind]
    first, *more = (draw.one_of(fact.questions) for fact in asked)
    question = " And ".join([first, *(text[0].lower() + text[1:] for text in more)])
    citations = [number for number, fact in enumerate(told, start=1) if fact in asked]
    return notes + question, {"answer": "; ".join(fact.value for fact in asked), "citations": citations}


def _two_facts(facts: Sequence[Fact], draw: Draw) -> tuple[Fact, Fact]:
    """Return facts about two things: every other time of one kind, so that the thing itself has to be read."""
    one = draw.one_of(facts)
    others = [fact for fact in facts if fact.subject != one.subject]
    alike = [fact for fact in others if fact.attribute == one.attribute]
    return one, draw.one_of(alike if draw.below(2) else others)


def _not_told(facts: Sequence[Fact], told: Sequence[Fact], draw: Draw) -> Fact:
    """Return a fact that no note tells, about a thing that one of them is about."""
    subject = draw.one_of(told).subject
    return draw.one_of([fact for fact in facts if fact.subject == subject and fact not in told])


def main() -> None:
    """Write both files next to this script."""
    for name, text in make_files().items():
        (Path(__file__).parent / name).write_bytes(text.encode())


if __name__ == "__main__":
    main()
