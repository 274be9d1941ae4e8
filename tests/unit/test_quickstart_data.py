"""The quickstart's samples are what their generator writes, are sound, and teach nothing that is asked later."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from trainer.config.recipe import load_recipe

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = {"train.jsonl": 320, "eval.jsonl": 32}


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("quickstart_generate", EXAMPLES / "quickstart" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def read(name: str) -> list[list[dict[str, Any]]]:
    text = (EXAMPLES / "quickstart" / name).read_text(encoding="utf-8")
    return [json.loads(line)["messages"] for line in text.splitlines()]


def notes_of(user: str) -> list[str]:
    """Return the numbered notes of a user message, without their numbers."""
    *lines, question = user.split("\n")
    assert question.endswith("?")
    assert [line[:4] for line in lines] == ["[1] ", "[2] "]
    return [line[4:] for line in lines]


@pytest.mark.parametrize("name", FILES)
def test_committed_bytes_are_what_the_generator_writes(generator: ModuleType, name: str) -> None:
    committed = (EXAMPLES / "quickstart" / name).read_bytes()

    assert generator.make_files()[name].encode() == committed, "run python examples/quickstart/generate.py"


def test_main_writes_both_files_next_to_the_script(
    generator: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generator, "__file__", str(tmp_path / "generate.py"))

    generator.main()

    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert written == {name: (EXAMPLES / "quickstart" / name).read_bytes() for name in FILES}


@pytest.mark.parametrize(("name", "count"), FILES.items())
def test_samples_are_system_user_assistant_and_all_different(generator: ModuleType, name: str, count: int) -> None:
    samples = read(name)

    assert len(samples) == count
    assert {tuple(message["role"] for message in sample) for sample in samples} == {("system", "user", "assistant")}
    assert {sample[0]["content"] for sample in samples} == {generator.SYSTEM}
    assert len({sample[1]["content"] for sample in samples}) == count


@pytest.mark.parametrize("name", FILES)
def test_answers_are_json_and_quote_just_the_notes_they_cite(generator: ModuleType, name: str) -> None:
    for _, user, assistant in read(name):
        notes = notes_of(user["content"])
        answer = json.loads(assistant["content"])

        assert list(answer) == ["answer", "citations"]
        assert answer["citations"] in ([], [1], [2], [1, 2])
        parts = answer["answer"].split("; ") if answer["citations"] else []
        assert len(parts) == len(answer["citations"])
        cited = [notes[number - 1] for number in answer["citations"]]
        assert any(
            all(part in note for part, note in zip(parts, order, strict=True)) for order in (cited, cited[::-1])
        ), user["content"]
        assert (answer["citations"] == []) == (answer["answer"] == generator.UNKNOWN)


@pytest.mark.parametrize("name", FILES)
def test_citations_are_those_of_the_notes_that_say_what_is_asked(generator: ModuleType, name: str) -> None:
    facts = generator.train_facts() + generator.eval_facts()
    by_note = {note: fact for fact in facts for note in fact.notes}
    by_question = {question.lower(): fact for fact in facts for question in fact.questions}

    for _, user, assistant in read(name):
        asked = [by_question[text.lower()] for text in re.split(r"(?<=\?) And ", user["content"].split("\n")[-1])]
        told = [by_note[note] for note in notes_of(user["content"])]
        expected = [number for number, fact in enumerate(told, start=1) if fact in asked]
        values = "; ".join(fact.value for fact in asked if fact in told) or generator.UNKNOWN

        assert json.loads(assistant["content"]) == {"answer": values, "citations": expected}


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_citation_has_its_share(name: str) -> None:
    kinds = [json.dumps(json.loads(sample[2]["content"])["citations"]) for sample in read(name)]

    shares = {kind: kinds.count(kind) / len(kinds) for kind in ("[1]", "[2]", "[1, 2]", "[]")}

    assert shares == pytest.approx({"[1]": 1 / 3, "[2]": 1 / 3, "[1, 2]": 1 / 6, "[]": 1 / 6}, abs=0.02)
    assert sorted(kinds[:4]) == sorted(["[1]", "[2]", "[1, 2]", "[]"]), "the report shows the first four"


def test_no_question_means_two_facts(generator: ModuleType) -> None:
    facts = generator.train_facts() + generator.eval_facts()
    questions = [question.lower() for fact in facts for question in fact.questions]
    notes = [note for fact in facts for note in fact.notes]

    assert len(set(questions)) == len(questions)
    assert len(set(notes)) == len(notes)


def test_no_eval_message_or_note_is_in_the_training_samples() -> None:
    train_users = [sample[1]["content"] for sample in read("train.jsonl")]
    eval_users = [sample[1]["content"] for sample in read("eval.jsonl")]
    train_notes = {note for user in train_users for note in notes_of(user)}
    eval_notes = {note for user in eval_users for note in notes_of(user)}

    assert not set(train_users) & set(eval_users)
    assert not train_notes & eval_notes


def test_no_eval_fact_is_stated_or_asked_for_in_the_training_samples(generator: ModuleType) -> None:
    text = (EXAMPLES / "quickstart" / "train.jsonl").read_text(encoding="utf-8").lower()
    facts = generator.eval_facts()

    leaks = [word for fact in facts for word in (fact.subject, *fact.notes, *fact.questions) if word.lower() in text]

    assert leaks == []


def test_samples_are_short() -> None:
    lengths = [sum(len(message["content"]) for message in sample) for name in FILES for sample in read(name)]

    assert max(lengths) < 400, "characters; training must be quick on two CPU cores"


def test_quickstart_run_file_is_valid_and_finds_its_data() -> None:
    recipe = load_recipe(EXAMPLES / "quickstart.yml")

    assert recipe.run.name == "quickstart"
    assert Path(recipe.data.train_path) == EXAMPLES / "quickstart" / "train.jsonl"
    assert recipe.data.eval_path == str(EXAMPLES / "quickstart" / "eval.jsonl")
    assert recipe.training.learning_rate == 1e-3
    assert (recipe.training.max_steps, recipe.evaluation.eval_steps, recipe.checkpointing.save_steps) == (12, 6, 4)


def test_kwanzaa_run_file_is_valid_and_short_on_a_cpu() -> None:
    recipe = load_recipe(EXAMPLES / "kwanzaa.yml")

    assert recipe.run.name == "kwanzaa"
    assert Path(recipe.data.train_path) == EXAMPLES / "kwanzaa" / "train.jsonl"
    assert recipe.evaluation.eval_strategy == "no"
    assert (recipe.training.max_steps, recipe.data.max_length) == (5, 2048)


@pytest.mark.parametrize("name", ["quickstart.yml", "kwanzaa.yml"])
def test_every_value_of_a_run_file_is_explained_or_speaks_for_itself(name: str) -> None:
    plain = {"eval_path", "name", "description"}
    lines = (EXAMPLES / name).read_text(encoding="utf-8").splitlines()

    bare = [line.strip() for line in lines if re.match(r"  \w+:", line) and " # " not in line]

    assert [line for line in bare if line.split(":")[0] not in plain] == []
