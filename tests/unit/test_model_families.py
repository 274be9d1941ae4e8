"""Our reading of configurations, held to what transformers builds of them (``benchmarks/model_families.json``)."""

from __future__ import annotations

import json
import re
from importlib import metadata
from typing import Any

import pytest

from benchmarks.family_configs import PUBLISHED
from benchmarks.model_families import SWITCHED_ON, TABLE, built, causal, difference
from benchmarks.results import PROJECT
from runner.planning.estimate.families.kinds import UntrainableModelError, kinds
from runner.planning.estimate.families.table import FAMILIES
from runner.planning.estimate.model_shape import shape_of

TABLES = json.loads(TABLE.read_text(encoding="utf-8"))
ROWS: dict[str, list[dict[str, Any]]] = {}
for _row in TABLES["families"]:
    ROWS.setdefault(_row["config"]["model_type"], []).append(_row)
AGAIN = "run `python -m benchmarks.model_families --write`, and mend what differs"


@pytest.mark.parametrize("kind", ROWS)
def test_a_family_is_read_as_transformers_builds_it(kind: str) -> None:
    assert [words for row in ROWS[kind] if (words := difference(row)) is not None] == []


def test_a_wrong_reading_is_reported_in_words() -> None:
    row = ROWS["llama"][0]

    words = difference(row | {"parameters": row["parameters"] + 1, "adapted": 7})

    assert words is not None
    assert words.startswith(
        f"llama, by default: parameters {row['parameters']}, built {row['parameters'] + 1}; adapted"
    )


def test_sixty_families_are_known_each_with_its_head_tied_and_not() -> None:
    transformers_has = set(FAMILIES) - {"qwen"}  # whose code lies beside its weights

    assert set(ROWS) == transformers_has
    assert len(ROWS) >= 60
    for rows in ROWS.values():
        assert {shape_of(row["config"]).is_tied for row in rows} == {True, False}


def test_the_page_on_memory_lists_the_families() -> None:
    page = (PROJECT / "docs" / "memory-model.md").read_text(encoding="utf-8")
    _, _, rest = page.partition("are known:\n\n")

    assert re.findall(r"`(\S+)`", rest.partition("\n\n")[0]) == sorted(FAMILIES)


def test_the_table_is_of_the_locked_transformers() -> None:
    locks = [*PROJECT.glob("requirements/trainer-*.lock"), PROJECT / "requirements" / "dev.lock"]
    locked = {version for lock in locks for version in re.findall(r"^transformers==(\S+)", lock.read_text(), re.M)}

    assert {kinds().transformers, metadata.version("transformers")} == locked, AGAIN


def test_all_causal_families_of_transformers_are_listed() -> None:
    assert {kind: text for kind, (text, _) in causal().items()} == kinds().causal, AGAIN


def test_all_families_of_mixtures_are_listed() -> None:
    listed = {causal()[row["model_type"]][0] for row in TABLES["mixtures"]}

    assert listed - SWITCHED_ON.keys() == kinds().experts, AGAIN


@pytest.mark.parametrize("kind", ["llama", "gemma3_text", "falcon", "gpt2", "olmo"])
def test_the_table_says_what_transformers_builds_now(kind: str) -> None:
    row = next(row for row in ROWS[kind] if row["what"] in ("tied", "untied"))

    found = built(row["config"])

    assert (found.parameters, found.four_bit, found.adapted) == (row["parameters"], row["four_bit"], row["adapted"]), (
        AGAIN
    )


@pytest.mark.parametrize("row", json.loads(PUBLISHED.read_text(encoding="utf-8")), ids=lambda row: str(row["name"]))
def test_a_published_model_has_the_weights_that_its_files_hold(row: dict[str, Any]) -> None:
    assert shape_of(row["config"]).parameters == row["weights"]


@pytest.mark.parametrize("config", TABLES["mixtures"], ids=lambda config: str(config["model_type"]))
def test_every_mixture_of_experts_is_refused_in_one_line(config: dict[str, Any]) -> None:
    with pytest.raises(UntrainableModelError) as caught:
        shape_of(config)

    assert f"{config['model_type']} model is a mixture of experts (" in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.resolution == "take a dense base model; `make compare` shows what one costs"
