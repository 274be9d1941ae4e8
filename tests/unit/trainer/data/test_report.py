from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.trainer.tiny_recipe import tiny_recipe
from trainer.config.recipe import Recipe
from trainer.data.report import WIDTH, data_text, run_data_check, summary_text
from trainer.data.samples import Dataset, EncodedDataset
from trainer.data.shown import Part, ShownSample
from trainer.data.summary import DataSummary, HistogramBin, SplitSummary
from trainer.errors import ConfigError, DataError

TRAIN = SplitSummary(1200, 3456789, 1234567, 12, 800, 2000, 3000, 9, 500)
EVAL = SplitSummary(3, 400, 100, 90, 120, 150, 160, 0, 0)


def summary(**changes: Any) -> DataSummary:
    values: dict[str, Any] = {
        "format": "messages",
        "max_length": 2048,
        "train": TRAIN,
        "eval": EVAL,
        "duplicate_samples": 2,
        "shared_prompts": 0,
        "special_token_samples": 0,
        "turn_end": "<|im_end|>",
        "length_histogram": (
            HistogramBin(8, 10, 1),
            HistogramBin(10, 12, 0),
            HistogramBin(12, 14, 1190),
            HistogramBin(2048, 2560, 5),
            HistogramBin(2560, 3072, 4),
        ),
        "warnings": (),
    }
    return DataSummary(**{**values, **changes})


def test_a_summary_is_whole_in_its_plain_data() -> None:
    told = summary(warnings=("look at this",), turn_end=None)

    assert DataSummary.from_mapping(json.loads(json.dumps(told.to_mapping()))) == told


def test_data_check_shows_what_is_learned_below_the_table() -> None:
    checked = summary(shown=(ShownSample(7, (Part("Why? ", learned=False), Part("Because.", learned=True))),))

    text = data_text(Recipe(), EncodedDataset((), (), checked, Dataset((), (), "messages", "", "")), colour=False)

    assert text.startswith(summary_text(checked))
    assert text.endswith("line 7\n  Why? [[Because.]]")


def test_notes_stand_below_the_warnings() -> None:
    text = summary_text(summary(warnings=("look at this",), notes=("keys that are not used: id",)))

    assert text.endswith("warning: look at this\nnote: keys that are not used: id")


def test_table_and_histogram() -> None:
    assert summary_text(summary()) == "\n".join(
        [
            "Data check (messages)                  train          eval",
            "----------------------------------------------------------",
            "samples                                1,200             3",
            "tokens in one epoch                3,456,789           400",
            "supervised tokens                  1,234,567           100",
            "supervised share                      35.7 %        25.0 %",
            "shortest sample, tokens                   12            90",
            "median sample, tokens                    800           120",
            "95 % are at most, tokens               2,000           150",
            "longest sample, tokens                 3,000           160",
            "samples cut at 2,048                       9             0",
            "",
            "Length of the training samples, in tokens",
            "       8 to 9             1  #",
            "      10 to 11            0  ",
            "      12 to 13        1,190  " + "#" * 60,
            "   2,048 to 2,559         5  # partly cut",
            "   2,560 to 3,071         4  # cut",
        ]
    )


def test_warnings_stand_at_the_end_and_no_line_is_too_long() -> None:
    warnings = ("first " * 30, "x" * 300)

    text = summary_text(summary(warnings=warnings))

    assert text.count("warning: ") == 2
    assert text.index("warning: first") > text.index("Length of")
    assert max(len(line) for line in text.splitlines()) <= WIDTH


def test_data_check_prints_the_table(tiny_model: Path, tiny_dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_data_check(tiny_recipe(tiny_model, tiny_dataset, training={"max_steps": 9}), as_json=False) == 0

    out = capsys.readouterr().out
    assert out.startswith("Data check (messages)")
    assert "samples                                   60             8" in out
    assert "#" in out
    assert "The run has 9 optimizer steps of 2 rows, from 20 rows an epoch." in out
    assert "warning: under 10 optimizer steps little is learned: raise training.max_steps" in out


def test_data_check_prints_json(tiny_model: Path, tiny_dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_data_check(tiny_recipe(tiny_model, tiny_dataset), as_json=True) == 0

    values = json.loads(capsys.readouterr().out)
    assert (values["train_samples"], values["eval_samples"], values["cut_samples"]) == (60, 8, 0)
    assert sum(part["count"] for part in values["length_histogram"]) == 60


def test_data_check_lets_errors_through(tiny_model: Path, tiny_dataset: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        run_data_check(tiny_recipe(tiny_model, tiny_dataset / "none"), as_json=False)
    with pytest.raises(ConfigError, match=r"max_length is 4096, but .* holds at most 512 tokens"):
        run_data_check(tiny_recipe(tiny_model, tiny_dataset, data={"max_length": 4096}), as_json=False)
