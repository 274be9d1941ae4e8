from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.unit.trainer.small_facts import CHATML, small_facts
from trainer.config.sections import DataSection
from trainer.data.chat import EncodedSample, Message
from trainer.data.samples import Dataset, Sample, encode, generation_prompts, load_dataset
from trainer.data.summary import HistogramBin, SplitSummary, length_histogram
from trainer.errors import BaseModelError, DataError
from trainer.files import sha256_of_file


def pairs(*numbers: int) -> list[dict[str, str]]:
    return [{"prompt": f"What is {number}?", "completion": f"The answer is {number}."} for number in numbers]


def write(path: Path, samples: list[dict[str, str]]) -> str:
    path.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    return str(path)


def section(
    folder: Path, train: list[dict[str, str]], held_out: list[dict[str, str]] | None, **keys: Any
) -> DataSection:
    eval_path = None if held_out is None else write(folder / "eval.jsonl", held_out)
    return DataSection(train_path=write(folder / "train.jsonl", train), eval_path=eval_path, **keys)


def prompts(samples: tuple[Sample, ...]) -> list[str]:
    return [sample.messages[0].content for sample in samples]


def test_both_files_are_read_in_their_order(tmp_path: Path) -> None:
    data = section(tmp_path, pairs(3, 1, 2), pairs(9, 8))

    dataset = load_dataset(data, seed=1)

    assert prompts(dataset.train) == ["What is 3?", "What is 1?", "What is 2?"]
    assert dataset.eval[1] == Sample(2, (Message("user", "What is 8?"), Message("assistant", "The answer is 8.")))
    assert dataset.format == "prompt_completion"
    assert dataset.train_sha256 == sha256_of_file(Path(data.train_path))
    assert dataset.eval_sha256 == sha256_of_file(tmp_path / "eval.jsonl")


def test_only_the_first_training_samples_are_used_when_asked_for(tmp_path: Path) -> None:
    data = section(tmp_path, pairs(3, 1, 2), pairs(9, 8), max_train_samples=2)

    dataset = load_dataset(data, seed=1)

    assert (len(dataset.train), len(dataset.eval)) == (2, 2)


def test_share_of_the_training_file_is_held_out_without_an_eval_file(tmp_path: Path) -> None:
    data = section(tmp_path, pairs(*range(40)), None)

    dataset = load_dataset(data, seed=1)

    assert len(dataset.eval) == 4
    assert sorted(prompts(dataset.train) + prompts(dataset.eval)) == sorted(f"What is {n}?" for n in range(40))
    assert [sample.line for sample in dataset.eval] == sorted(sample.line for sample in dataset.eval)


def test_held_out_samples_depend_on_the_seed_alone(tmp_path: Path) -> None:
    data = section(tmp_path, pairs(*range(40)), None)

    first, again, other = (load_dataset(data, seed=seed) for seed in (1, 1, 2))

    assert first == again
    assert first.eval != other.eval
    assert first.eval_sha256 != other.eval_sha256
    assert first.train_sha256 != other.train_sha256


def test_at_least_one_sample_is_held_out(tmp_path: Path) -> None:
    dataset = load_dataset(section(tmp_path, pairs(1, 2), None), seed=1)

    assert (len(dataset.train), len(dataset.eval)) == (1, 1)


def test_copies_of_one_sample_stay_on_one_side_of_the_split(tmp_path: Path) -> None:
    data = section(tmp_path, pairs(*range(5), *range(5), *range(5)), None, eval_fraction=0.4)

    dataset = load_dataset(data, seed=1)

    assert len(dataset.eval) == 2
    assert len(dataset.train) == 9
    assert not set(prompts(dataset.train)) & set(prompts(dataset.eval))


def test_file_too_small_to_split_is_refused(tmp_path: Path) -> None:
    data = section(tmp_path, pairs(1, 1), None)

    with pytest.raises(DataError) as caught:
        load_dataset(data, seed=1)

    assert caught.value.message == (
        f"data: {data.train_path} holds 1 different sample(s), and one must be kept for evaluation"
    )


def test_eval_samples_that_are_trained_on_are_refused_by_their_lines(tmp_path: Path) -> None:
    data = section(tmp_path, pairs(*range(10)), pairs(20, 3, 21, 0))

    with pytest.raises(DataError) as caught:
        load_dataset(data, seed=1)

    assert caught.value.message == (
        f"data: {data.eval_path} has 2 sample(s) that are in the training file too: "
        "line 2 (train line 4), 4 (train line 1)"
    )
    assert "data.eval_path" in caught.value.resolution


def test_many_leaks_are_named_by_the_first_five(tmp_path: Path) -> None:
    data = section(tmp_path, pairs(*range(10)), pairs(*range(10)))

    with pytest.raises(DataError, match=r"has 10 sample\(s\).* 5 \(train line 5\) and 5 more$"):
        load_dataset(data, seed=1)


def test_encoded_samples_keep_the_order_of_the_files(tmp_path: Path) -> None:
    facts, data = small_facts(), section(tmp_path, pairs(3, 1, 2), pairs(9))

    encoded = encode(load_dataset(data, seed=1), facts, data)

    texts = [facts.tokenizer.decode(sample.input_ids) for sample in encoded.train]
    assert [text[text.index("is ") + 3] for text in texts] == ["3", "1", "2"]
    assert len(encoded.eval) == 1


def test_sample_with_nothing_left_to_learn_is_refused_by_its_line(tmp_path: Path) -> None:
    long = {"prompt": "What is the answer? " * 20, "completion": "yes"}
    data = section(tmp_path, [*pairs(1), long, *pairs(2), {**long, "completion": "no"}], pairs(9), max_length=64)

    with pytest.raises(DataError) as caught:
        encode(load_dataset(data, seed=1), small_facts(), data)

    assert caught.value.message == (
        f"data: {data.train_path} has 2 sample(s) with nothing to learn within max_length 64: line 2, 4"
    )
    assert "data.max_length" in caught.value.resolution


def test_eval_sample_with_nothing_left_to_learn_is_refused_too(tmp_path: Path) -> None:
    long = [{"prompt": "What is the answer? " * 20 + str(number), "completion": "yes"} for number in range(7)]
    data = section(tmp_path, pairs(1), long, max_length=64)

    with pytest.raises(DataError) as caught:
        encode(load_dataset(data, seed=1), small_facts(), data)

    assert caught.value.message.endswith(
        "has 7 sample(s) with nothing to learn within max_length 64: line 1, 2, 3, 4, 5 and 2 more"
    )


def test_sample_that_the_template_refuses_is_named_by_file_and_line(tmp_path: Path) -> None:
    template = CHATML + "{% if '2' in messages[0].content %}{{ raise_exception('no twos') }}{% endif %}"
    data = section(tmp_path, pairs(1, 2), pairs(9))

    with pytest.raises(BaseModelError) as caught:
        encode(load_dataset(data, seed=1), small_facts(template), data)

    assert caught.value.message == (f"data: {data.train_path}:2 chat template: it refuses these messages: no twos")


def test_clean_data_has_no_warnings(tmp_path: Path) -> None:
    data = section(tmp_path, pairs(1, 2), pairs(9))

    summary = encode(load_dataset(data, seed=1), small_facts(), data).summary

    assert summary.warnings == ()
    assert (summary.train.samples, summary.eval.samples, summary.train.cut_samples) == (2, 1, 0)
    assert (summary.format, summary.turn_end) == ("prompt_completion", "<|im_end|>")


@pytest.mark.parametrize(
    ("train", "held_out", "template", "keys", "warning"),
    [
        (pairs(1, 2, 1), pairs(9), CHATML, {}, "1 training samples are copies of others"),
        (
            [*pairs(1), {"prompt": "What ends a turn?", "completion": "It is <|im_end|>."}],
            pairs(9),
            CHATML,
            {},
            "1 training samples hold the text of a special token, which becomes that token: line 2",
        ),
        (
            pairs(1),
            [{"prompt": "What is 1?", "completion": "It is one."}],
            CHATML,
            {},
            "1 eval prompts are in the training file too, with another answer",
        ),
        (
            pairs(1, 2),
            pairs(9),
            CHATML.replace("<|im_end|>", "<|end|>"),
            {},
            "the chat template never ends a turn with <|im_end|> but with <|end|>: stop there when you generate",
        ),
        (
            pairs(1, 2),
            pairs(9),
            CHATML.replace("<|im_end|>", ""),
            {},
            "the chat template never ends a turn with <|im_end|>: the adapter learns the words, but not when to stop",
        ),
    ],
    ids=["copies", "special tokens", "shared prompts", "other end token", "no end token"],
)
def test_what_is_allowed_but_worth_a_look_is_a_warning(
    tmp_path: Path, train: Any, held_out: Any, template: str, keys: Any, warning: str
) -> None:
    data = section(tmp_path, train, held_out, **keys)

    summary = encode(load_dataset(data, seed=1), small_facts(template), data).summary

    assert summary.warnings == (warning,)


def test_cut_samples_are_counted_with_the_tokens_they_lose(tmp_path: Path) -> None:
    long = {"prompt": "What?", "completion": "yes " * 40}
    whole = section(tmp_path, [*pairs(1), long], pairs(9))
    length = encode(load_dataset(whole, 1), small_facts(), whole).summary.train.longest
    data = replace_max_length(whole, length - 10)

    summary = encode(load_dataset(data, seed=1), small_facts(), data).summary

    assert (summary.train.cut_samples, summary.train.cut_tokens, summary.train.longest) == (1, 10, length)
    assert summary.warnings == (f"1 of 2 training samples are cut at max_length {length - 10} (10 tokens lost)",)


def replace_max_length(data: DataSection, max_length: int) -> DataSection:
    return data.model_copy(update={"max_length": max_length})


def test_split_is_summed_up_in_tokens() -> None:
    samples = [EncodedSample([0] * min(n, 90), [-100] * (min(n, 90) - 5) + [0] * 5, n) for n in range(1 + 9, 101 + 9)]

    summary = SplitSummary.of(samples)

    assert (summary.samples, summary.shortest, summary.median, summary.p95, summary.longest) == (100, 10, 60, 104, 109)
    assert summary.supervised_tokens == 500
    assert (summary.cut_samples, summary.cut_tokens) == (19, sum(range(1, 20)))
    assert summary.tokens == sum(range(10, 110)) - summary.cut_tokens
    assert summary.supervised_share == 500 / summary.tokens


def test_histogram_counts_every_length_once() -> None:
    lengths = [1, 2, 3, 63, 64, 79, 80, 1500, 1535, 1536]

    bins = length_histogram(lengths)

    assert sum(part.count for part in bins) == len(lengths)
    assert HistogramBin(64, 80, 2) in bins
    assert HistogramBin(1280, 1536, 2) in bins
    assert all(left.to_tokens == right.from_tokens for left, right in pairwise(bins))
    assert (bins[0].count, bins[-1].count) == (1, 1)


def test_summary_is_plain_data(tmp_path: Path) -> None:
    data = section(tmp_path, pairs(1, 2, 1), pairs(9))

    mapping = encode(load_dataset(data, seed=1), small_facts(), data).summary.to_mapping()

    assert json.loads(json.dumps(mapping)) == mapping
    assert (mapping["train_samples"], mapping["eval_samples"], mapping["duplicate_samples"]) == (3, 1, 1)
    assert 0 < mapping["supervised_share"] < 1
    assert sum(part["count"] for part in mapping["length_histogram"]) == 3
    assert set(mapping["length_histogram"][0]) == {"from", "to", "count"}


def test_generation_prompts_end_before_the_last_answer() -> None:
    chat = (Message("user", "a"), Message("assistant", "b"), Message("user", "c"), Message("assistant", "d"))
    dataset = Dataset((), (Sample(1, chat), Sample(2, chat[:2]), Sample(3, chat)), "messages", "", "")

    assert generation_prompts(dataset, 2) == [(chat[:3], "d"), (chat[:1], "b")]
    assert len(generation_prompts(replace(dataset, eval=dataset.eval[:1]), 5)) == 1


def test_data_check_modules_import_neither_torch_nor_transformers() -> None:
    script = (
        "import sys, trainer.data.report, trainer.base_model.gguf_tokenizer, trainer.base_model.hub_files\n"
        "print([name for name in ('torch', 'transformers', 'huggingface_hub', 'numpy') if name in sys.modules])"
    )

    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=240, check=True)

    assert result.stdout.strip() == "[]"
