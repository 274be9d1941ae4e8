"""Write the quickstart's data: train.jsonl and eval.jsonl, the help desk of a made-up lending co-operative.

Each sample gives two numbered notes and a question; the answer is a JSON object with the numbers of the notes it
rests on, or none where the notes do not tell. Everything is drawn from the tables below, the same on every machine:

    python examples/quickstart/generate.py
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SYSTEM = "Answer from the notes only, as JSON with citations."
NOT_TOLD = "not in the notes"
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
DOUBLE_QUESTIONS = (
    "What are the {first} of the {one} and the {second} of the {other}?",
    "Tell me the {first} of the {one} and the {second} of the {other}.",
)
KINDS = ("first", "second", "none", "first", "both", "second", "first", "none", "second", "both")

Fact = tuple[int, int]  # row of a table, column


class Draw:
    """Draws that are the same in every Python version: built on ``random()`` alone, which is promised to stay."""

    def __init__(self, seed: int) -> None:
        """Start the sequence."""
        self._random = random.Random(seed)  # noqa: S311 - samples, not secrets

    def below(self, limit: int) -> int:
        """Return a number from 0 to ``limit - 1``."""
        return int(self._random.random() * limit)

    def other_than(self, limit: int, taken: int) -> int:
        """Return a number from 0 to ``limit - 1``, but not ``taken``."""
        return (taken + 1 + self.below(limit - 1)) % limit

    def one_of(self, choices: Sequence[str]) -> str:
        """Return one of ``choices``."""
        return choices[self.below(len(choices))]


def samples(things: Sequence[tuple[str, ...]], count: int, seed: int) -> list[dict[str, object]]:
    """Return ``count`` different samples about the things of one table."""
    draw = Draw(seed)
    result: dict[str, dict[str, object]] = {}
    while len(result) < count:
        question, answer = _question_and_answer(things, KINDS[len(result) % len(KINDS)], draw)
        messages = [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": question},
            {"role": "assistant", "content": json.dumps(answer)},
        ]
        result.setdefault(question, {"messages": messages})
    return list(result.values())


def _question_and_answer(things: Sequence[tuple[str, ...]], kind: str, draw: Draw) -> tuple[str, dict[str, object]]:
    one, other = _two_facts(len(things), draw)
    notes = f"[1] {_note(things, one, draw)}\n[2] {_note(things, other, draw)}\n"
    if kind == "both":
        first, second = ATTRIBUTES[one[1]].name, ATTRIBUTES[other[1]].name
        wording = draw.one_of(DOUBLE_QUESTIONS)
        asked = wording.format(first=first, one=things[one[0]][0], second=second, other=things[other[0]][0])
        return notes + asked, {"answer": f"{_value(things, one)}, {_value(things, other)}", "citations": [1, 2]}
    if kind == "none":
        return notes + _ask(things, _unknown(one, other, draw), draw), {"answer": NOT_TOLD, "citations": []}
    fact, number = (one, 1) if kind == "first" else (other, 2)
    return notes + _ask(things, fact, draw), {"answer": _value(things, fact), "citations": [number]}


def _two_facts(rows: int, draw: Draw) -> tuple[Fact, Fact]:
    """Return two facts: half of the time about one column of two things, so that the thing has to be read."""
    row, column = draw.below(rows), draw.below(len(ATTRIBUTES))
    other_row = draw.other_than(rows, row)
    other_column = column if draw.below(2) else draw.other_than(len(ATTRIBUTES), column)
    return (row, column), (other_row, other_column)


def _unknown(one: Fact, other: Fact, draw: Draw) -> Fact:
    """Return a fact about one of the two things that neither note tells."""
    row, told = one if draw.below(2) else other
    return row, draw.other_than(len(ATTRIBUTES), told)


def _note(things: Sequence[tuple[str, ...]], fact: Fact, draw: Draw) -> str:
    return draw.one_of(ATTRIBUTES[fact[1]].notes).format(thing=things[fact[0]][0], value=_value(things, fact))


def _ask(things: Sequence[tuple[str, ...]], fact: Fact, draw: Draw) -> str:
    return draw.one_of(ATTRIBUTES[fact[1]].questions).format(thing=things[fact[0]][0])


def _value(things: Sequence[tuple[str, ...]], fact: Fact) -> str:
    return things[fact[0]][1 + fact[1]]


def main(folder: Path) -> None:
    """Write both files into ``folder``."""
    for name, things, count, seed in (
        ("train.jsonl", TRAIN_THINGS, TRAIN_SAMPLES, SEED),
        ("eval.jsonl", EVAL_THINGS, EVAL_SAMPLES, SEED + 1),
    ):
        lines = [json.dumps(sample) + "\n" for sample in samples(things, count, seed)]
        (folder / name).write_bytes("".join(lines).encode())


if __name__ == "__main__":
    main(Path(__file__).parent)
