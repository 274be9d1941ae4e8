"""Large data: several processes, the cache, and the same samples as of small data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.trainer.small_facts import CHATML, small_facts
from trainer.config.sections import DataSection
from trainer.data import collected, encoding
from trainer.data.samples import EncodedDataset, encode, load_dataset
from trainer.data.shelf import shelves


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOUSE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let all data count as large, on a machine of so many cores."""

    def make(cores: int) -> None:
        for module in (collected, encoding):
            monkeypatch.setattr(module, "LARGE_BYTES", 0)
            monkeypatch.setattr(module, "processes_here", lambda: cores)

    return make


def section(folder: Path, **keys: Any) -> DataSection:
    lines = [json.dumps({"prompt": f"What is {n}?", "completion": f"It is {n}. " * (n % 5)}) for n in range(700)]
    path = folder / "train.jsonl"
    path.write_text("\n".join(lines))
    return DataSection(train_path=str(path), on_bad_sample="skip", **keys)


def run(data: DataSection, template: str = CHATML, progress: Any = collected.no_progress) -> EncodedDataset:
    return encode(load_dataset(data, 1, progress), small_facts(template), data, progress)


@pytest.mark.parametrize("cores", [1, 2])
def test_large_data_gives_the_samples_of_small_data(tmp_path: Path, large: Callable[[int], None], cores: int) -> None:
    data = section(tmp_path, max_length=32)
    small = run(data)
    large(cores)

    for found in (run(data), run(data)):  # computed, and taken from the cache
        assert found.summary == small.summary
        assert list(found.train) == list(small.train)
        assert found.eval == small.eval
        assert found.dataset == small.dataset
        assert found.train[3:5] == small.train[3:5]
    assert small.summary.left_out.bad == 140


def test_what_is_known_is_not_computed_again(
    tmp_path: Path, large: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = section(tmp_path)
    large(1)
    first = run(data)
    monkeypatch.setattr(collected, "in_order", None)
    monkeypatch.setattr(encoding, "in_order", None)
    monkeypatch.setattr(collected, "read_blocks", None)

    assert run(data).summary == first.summary


@pytest.mark.parametrize("change", ["file", "length", "template", "seed", "code"])
def test_whatever_decides_the_tokens_makes_them_anew(
    tmp_path: Path, large: Callable[[int], None], change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = section(tmp_path)
    large(1)
    run(data)
    before = {path.name for path in shelves().iterdir()}
    template = CHATML
    if change == "file":
        Path(str(data.train_path)).write_text(Path(str(data.train_path)).read_text().replace("What", "Who"))
    elif change == "length":
        data = data.model_copy(update={"max_length": 40})
    elif change == "template":
        template = CHATML.replace("<|im_start|>", "<|im_start|> ")
    elif change == "code":
        monkeypatch.setattr(encoding, "code_digest", lambda: "other")

    if change == "seed":
        encode(load_dataset(data, 2), small_facts(), data)
    else:
        run(data, template)

    assert len({path.name for path in shelves().iterdir() if path.is_dir()} - before) == (2 if change == "file" else 1)


def test_progress_begins_at_once_and_reaches_its_end(tmp_path: Path, large: Callable[[int], None]) -> None:
    seen: list[tuple[str, int, int]] = []
    data = section(tmp_path)
    large(2)

    run(data, progress=lambda what, done, total: seen.append((what, done, total)))

    for what in (collected.READING, encoding.ENCODING):
        some = [(done, total) for name, done, total in seen if name == what]
        assert some[0][0] == 0
        assert some[-1][0] == some[-1][1] > 0
        assert [done for done, _ in some] == sorted(done for done, _ in some)


def test_samples_are_canonical_once_and_for_all(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text("question,answer\na,é\nb,00721\nc,NA\n")
    data = DataSection(train_path=str(path), columns={"prompt": "question", "completion": "answer"}, eval_fraction=0.4)
    dataset = load_dataset(data, 1)
    staged = tmp_path / "train.jsonl"
    staged.write_bytes(b"".join(dataset.train.lines()))  # type: ignore[attr-defined]
    held_out = tmp_path / "eval.jsonl"
    held_out.write_bytes(b"".join(dataset.eval.lines()))  # type: ignore[attr-defined]

    again = load_dataset(DataSection(train_path=str(staged), eval_path=str(held_out)), 1)

    assert (again.train_sha256, again.eval_sha256) == (dataset.train_sha256, dataset.eval_sha256)
    assert [one.messages for one in again.train] == [one.messages for one in dataset.train]
