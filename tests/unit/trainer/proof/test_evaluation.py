from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import trainer.proof.evaluation
from tests.trained_adapter import make_recipe
from tests.unit.trainer.tiny_recipe import tiny_recipe
from trainer.base_model.tokenization import BaseModelFacts, load_base_model_facts
from trainer.data.chat import IGNORE_INDEX, EncodedSample, Message, render
from trainer.data.samples import encode, load_dataset
from trainer.proof.evaluation import eval_loss, evaluate_model, generate_answers, make_eval_set

MAX_LENGTH = 256


@pytest.fixture
def model(tiny_model: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(tiny_model)


@pytest.fixture(scope="module")
def facts(tiny_model: Path, tiny_dataset: Path) -> BaseModelFacts:
    recipe = make_recipe(tiny_model, tiny_dataset)
    return load_base_model_facts(recipe.model, recipe.data)


@pytest.fixture(scope="module")
def samples(tiny_model: Path, tiny_dataset: Path, facts: BaseModelFacts) -> tuple[EncodedSample, ...]:
    """Eval samples, some cut short: so that the mean over samples is not the mean over tokens."""
    recipe = make_recipe(tiny_model, tiny_dataset)
    encoded = encode(load_dataset(recipe.data, 0), facts, recipe.data).eval
    return tuple(_cut(sample, 4 * index) for index, sample in enumerate(encoded[:5]))


def test_eval_loss_is_the_mean_over_supervised_tokens(model: Any, samples: tuple[EncodedSample, ...]) -> None:
    total, count = _loss_one_by_one(model, samples)

    assert eval_loss(model, samples, max_length=MAX_LENGTH) == pytest.approx(total / count, rel=1e-5)


def test_samples_that_share_a_row_do_not_see_each_other(model: Any, samples: tuple[EncodedSample, ...]) -> None:
    passes = _count_passes(model)

    packed = eval_loss(model, samples, max_length=MAX_LENGTH)
    packed_passes = len(passes)
    alone = eval_loss(model, samples, max_length=MAX_LENGTH, packing=False)

    assert packed == pytest.approx(alone, rel=1e-5)
    assert packed_passes < len(samples) == len(passes) - packed_passes


def test_batch_rows_are_laid_end_to_end(model: Any, samples: tuple[EncodedSample, ...]) -> None:
    expected = eval_loss(model, samples, max_length=MAX_LENGTH)
    passes = _count_passes(model)

    loss = eval_loss(model, samples, max_length=MAX_LENGTH, batch_rows=2)

    assert loss == pytest.approx(expected, rel=1e-5)
    assert len(passes) == 1


def test_output_head_sees_supervised_positions_only(model: Any, samples: tuple[EncodedSample, ...]) -> None:
    positions: list[int] = []
    model.lm_head.register_forward_pre_hook(lambda _, inputs: positions.append(inputs[0].shape[-2]))

    eval_loss(model, samples, max_length=MAX_LENGTH)

    assert sum(positions) == sum(label != IGNORE_INDEX for sample in samples for label in sample.labels[1:])


def test_eval_loss_holds_few_logits_at_a_time(
    model: Any, samples: tuple[EncodedSample, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = eval_loss(model, samples, max_length=MAX_LENGTH)
    positions: list[int] = []
    model.lm_head.register_forward_pre_hook(lambda _, inputs: positions.append(inputs[0].shape[-2]))
    monkeypatch.setattr(trainer.proof.evaluation, "LOGITS_BUDGET_BYTES", 40 * 4 * 1000)

    assert eval_loss(model, samples, max_length=1024) == pytest.approx(expected, rel=1e-5)
    longest = max(sum(label != IGNORE_INDEX for label in sample.labels[1:]) for sample in samples)
    assert max(positions) <= max(40, longest)


def test_first_token_of_a_sample_is_not_predicted_from_the_sample_before(
    model: Any, samples: tuple[EncodedSample, ...]
) -> None:
    all_supervised = [EncodedSample(s.input_ids, list(s.input_ids), s.total_tokens) for s in samples]
    total, count = _loss_one_by_one(model, all_supervised)

    assert eval_loss(model, all_supervised, max_length=1024) == pytest.approx(total / count, rel=1e-5)


def test_eval_loss_leaves_the_model_as_it_was(model: Any, samples: tuple[EncodedSample, ...]) -> None:
    model.train()
    model.model.layers[0].eval()
    model.config.use_cache = False

    eval_loss(model, samples, max_length=MAX_LENGTH)

    assert (model.training, model.model.layers[0].training, model.model.layers[1].training) == (True, False, True)
    assert model.config.use_cache is False
    assert all(parameter.grad is None for parameter in model.parameters())


def test_what_on_batch_raises_ends_the_evaluation(model: Any, samples: tuple[EncodedSample, ...]) -> None:
    model.train()
    passes = _count_passes(model)

    def stop() -> None:
        if passes:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        eval_loss(model, samples, max_length=MAX_LENGTH, packing=False, on_batch=stop)

    assert len(passes) == 1
    assert model.training


def test_eval_loss_refuses_samples_without_a_supervised_token(model: Any) -> None:
    masked = EncodedSample([1, 2, 3], [5, IGNORE_INDEX, IGNORE_INDEX], 3)

    with pytest.raises(ValueError, match="no supervised token"):
        eval_loss(model, [masked], max_length=MAX_LENGTH)


def test_answers_in_a_batch_are_those_given_one_by_one(model: Any, tiny_model: Path, facts: BaseModelFacts) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    prompts = [
        [Message("user", text)] for text in ("Page 1?", "What is the height of the Amber tower, in metres?", "x")
    ]

    together = generate_answers(model, tokenizer, prompts, facts, max_new_tokens=12)
    alone = [generate_answers(model, tokenizer, [prompt], facts, max_new_tokens=12)[0] for prompt in prompts]

    assert together == alone
    assert len(set(together)) > 1


def test_generation_stops_at_the_end_of_the_turn(
    model: Any, tiny_model: Path, facts: BaseModelFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    prompt = [Message("user", "Page 1?")]
    endless = generate_answers(model, tokenizer, [prompt], facts, max_new_tokens=12)[0]
    first = tokenizer(endless, add_special_tokens=False)["input_ids"][0]

    monkeypatch.setattr(model.generation_config, "eos_token_id", [first])

    assert generate_answers(model, tokenizer, [prompt], facts, max_new_tokens=12)[0] in ("", tokenizer.decode([first]))


def test_generation_gets_the_prompt_as_it_was_trained_and_all_end_tokens(
    model: Any, tiny_model: Path, facts: BaseModelFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    calls: list[dict[str, Any]] = []
    prompt = [Message("system", "Be short."), Message("user", "Page 1?")]
    model.generation_config.eos_token_id = 7

    def generate(**options: Any) -> torch.Tensor:
        calls.append(options)
        return torch.cat([options["input_ids"], torch.tensor([[5]])], dim=1)

    monkeypatch.setattr(model, "generate", generate)
    generate_answers(model, tokenizer, [prompt], facts, max_new_tokens=3, turn_ends={"<|endoftext|>"})

    text = render(prompt, facts, add_generation_prompt=True)
    assert calls[0]["input_ids"].tolist() == [facts.tokenizer.encode(text, add_special_tokens=False).ids]
    assert calls[0]["generation_config"].eos_token_id == [0, facts.eos_token_id, 7]
    assert calls[0]["generation_config"].do_sample is False


def test_generation_leaves_training_mode_and_checkpointing_as_they_were(
    model: Any, tiny_model: Path, facts: BaseModelFacts
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    model.activation_checkpointing_enable()
    model.train()
    model.config.use_cache = False

    generate_answers(model, tokenizer, [[Message("user", "Page 1?")]], facts, max_new_tokens=3)

    assert model.training
    assert model.is_activation_checkpointing
    assert model.config.use_cache is False


def test_a_prompt_longer_than_the_model_keeps_its_end(model: Any, tiny_model: Path, facts: BaseModelFacts) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    prompt = [Message("user", "page " * 2000)]

    assert len(generate_answers(model, tokenizer, [prompt], facts, max_new_tokens=4)) == 1


@pytest.mark.parametrize(("dtype", "formats"), [("float32", {torch.float32}), ("bfloat16", {torch.bfloat16})])
def test_a_model_is_evaluated_in_the_number_format_of_training(
    dtype: str, formats: set[torch.dtype], tiny_model: Path, tiny_dataset: Path, facts: BaseModelFacts, model: Any
) -> None:
    recipe = tiny_recipe(tiny_model, tiny_dataset, model={"dtype": dtype})
    dataset = load_dataset(recipe.data, 0)
    eval_set = make_eval_set(recipe, dataset, encode(dataset, facts, recipe.data))
    found: set[torch.dtype] = set()
    model.lm_head.register_forward_hook(lambda _, __, logits: found.add(logits.dtype))

    evaluate_model(model, AutoTokenizer.from_pretrained(tiny_model), eval_set, facts, recipe)

    assert found == formats


def test_eval_set_is_the_recipe_s_share_of_the_eval_split(tiny_model: Path, tiny_dataset: Path) -> None:
    recipe = make_recipe(tiny_model, tiny_dataset)
    evaluation = recipe.evaluation.model_copy(update={"max_eval_samples": 3, "generation_samples": 2})
    recipe = recipe.model_copy(update={"evaluation": evaluation})
    dataset = load_dataset(recipe.data, 0)
    encoded = encode(dataset, load_base_model_facts(recipe.model, recipe.data), recipe.data)

    eval_set = make_eval_set(recipe, dataset, encoded)

    assert eval_set.samples == tuple(encoded.eval[:3])
    assert eval_set.prompts == tuple(tuple(sample.messages[:-1]) for sample in dataset.eval[:2])
    assert eval_set.references == tuple(sample.messages[-1].content for sample in dataset.eval[:2])


def _cut(sample: EncodedSample, tokens: int) -> EncodedSample:
    end = len(sample.input_ids) - tokens
    return EncodedSample(sample.input_ids[:end], sample.labels[:end], sample.total_tokens)


def _count_passes(model: Any) -> list[int]:
    passes: list[int] = []
    model.register_forward_pre_hook(lambda *_: passes.append(1))
    return passes


def _loss_one_by_one(model: Any, samples: Sequence[EncodedSample]) -> tuple[float, int]:
    """Return sum and count by the plainest means: one sample a pass, all logits."""
    total, count = 0.0, 0
    for sample in samples:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([sample.input_ids])).logits[0, :-1]
        labels = torch.tensor(sample.labels[1:])
        total += float(torch.nn.functional.cross_entropy(logits, labels, reduction="sum", ignore_index=IGNORE_INDEX))
        count += int((labels != IGNORE_INDEX).sum())
    return total, count
