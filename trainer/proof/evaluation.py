"""What a model is worth on held-out samples: its loss, its answers, and how good these are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from trainer.base_model.load import autocast, resolve_dtype
from trainer.data.chat import IGNORE_INDEX, EncodedSample, Message, render
from trainer.proof.scoring import score_answers

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from trainer.base_model.tokenization import BaseModelFacts
    from trainer.config.recipe import Recipe
    from trainer.data.samples import Dataset, EncodedDataset

LOGITS_BUDGET_BYTES = 256 * 2**20
"""Most bytes of float32 logits at a time, unless one sample alone needs more."""

__all__ = ["EvalSet", "Evaluation", "eval_loss", "evaluate_model", "generate_answers", "make_eval_set", "score_answers"]


class RowLoss(NamedTuple):
    """The losses of a row's supervised tokens, summed, and how many tokens these are."""

    summed: float
    tokens: int


@dataclass(frozen=True)
class EvalSet:
    """What a model is evaluated on.

    Attributes:
        samples: Encoded eval samples, for the loss.
        prompts: Messages up to the assistant's last turn, for the answers.
        references: The assistant's own last turn, one for each prompt.
    """

    samples: tuple[EncodedSample, ...]
    prompts: tuple[tuple[Message, ...], ...]
    references: tuple[str, ...]


@dataclass(frozen=True)
class Evaluation:
    """What one model reached on an ``EvalSet``.

    Attributes:
        loss: Mean negative log-likelihood of the supervised tokens.
        scores: Shares between 0 and 1 by name; see ``score_answers``.
        answers: The answers, in the order of the prompts.
    """

    loss: float
    scores: dict[str, float] = field(default_factory=dict)
    answers: tuple[str, ...] = ()

    def to_mapping(self) -> dict[str, float]:
        """Return loss and scores as ``metrics.json`` holds them."""
        return {"loss": self.loss, **self.scores}


def make_eval_set(recipe: Recipe, dataset: Dataset, encoded: EncodedDataset) -> EvalSet:
    """Return the recipe's share of the eval split."""
    from trainer.data.samples import generation_prompts

    pairs = generation_prompts(dataset, recipe.evaluation.generation_samples)
    return EvalSet(
        samples=tuple(encoded.eval[: recipe.evaluation.max_eval_samples]),
        prompts=tuple(tuple(messages) for messages, _ in pairs),
        references=tuple(reference for _, reference in pairs),
    )


def evaluate_model(
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    eval_set: EvalSet,
    facts: BaseModelFacts,
    recipe: Recipe,
) -> Evaluation:
    """Return loss, answers and scores of ``model`` as it stands (with its adapter, if one is active).

    It computes in the number format of training, so that its loss can be compared with those of training.
    """
    device = _input_device(model)
    with autocast(device, resolve_dtype(recipe.model, device)):
        loss = eval_loss(
            model,
            eval_set.samples,
            batch_rows=recipe.evaluation.per_device_eval_batch_size,
            max_length=recipe.data.max_length,
            packing=recipe.data.packing,
        )
        answers = generate_answers(
            model,
            tokenizer,
            eval_set.prompts,
            facts,
            max_new_tokens=recipe.evaluation.max_new_tokens,
            batch_size=recipe.evaluation.generation_batch_size,
            turn_ends={sample.turn_end for sample in eval_set.samples if sample.turn_end is not None},
        )
    return Evaluation(loss, score_answers(answers, eval_set.references), tuple(answers))


def eval_loss(
    model: torch.nn.Module,
    samples: Sequence[EncodedSample],
    *,
    batch_rows: int = 1,
    max_length: int,
    device: torch.device | None = None,
    packing: bool = True,
    on_batch: Callable[[], None] | None = None,
) -> float:
    """Return the mean negative log-likelihood over all supervised tokens.

    Every supervised token weighs the same, in whatever row it stands, and no position is padding: several samples share
    a row and are kept apart by position ids that restart at 0. That isolation is exact only without an attention
    mask and without a cache (an all-ones mask lets samples see each other).

    Args:
        model: A causal language model, with or without adapter.
        samples: Encoded samples, each at most ``max_length`` tokens long.
        batch_rows: Rows in one forward pass; they are laid end to end.
        max_length: Tokens in one row.
        device: Where the model takes its inputs; its own device when left out.
        packing: ``False`` gives every sample its own forward pass: for models that do not look at position ids.
        on_batch: Called after each forward pass; what it raises ends the evaluation.

    Raises:
        ValueError: If no token is supervised.
    """
    device = device or _input_device(model)
    capacity = max_length * batch_rows if packing else 1
    supervised_limit = max(1, LOGITS_BUDGET_BYTES // (4 * _vocabulary_size(model)))
    total, count = 0.0, 0
    with torch.no_grad(), _evaluation_mode(model):
        for row in _rows(samples, capacity, supervised_limit):
            if on_batch is not None:
                on_batch()
            found = _row_loss(model, row, device)
            total += found.summed
            count += found.tokens
            if on_batch is not None:
                on_batch()
    if count == 0:
        raise ValueError("no supervised token to evaluate on")
    return total / count


def _rows(samples: Sequence[EncodedSample], capacity: int, supervised_limit: int) -> Iterator[list[EncodedSample]]:
    """Yield groups of samples, longest first, first fit: at most ``capacity`` tokens, or one sample."""
    groups: list[tuple[int, int, list[EncodedSample]]] = []
    for sample in sorted(samples, key=lambda sample: -len(sample.input_ids)):
        tokens, supervised = len(sample.input_ids), _supervised(sample)
        if supervised == 0:
            continue
        for index, (used, used_supervised, group) in enumerate(groups):
            if used + tokens <= capacity and used_supervised + supervised <= supervised_limit:
                group.append(sample)
                groups[index] = (used + tokens, used_supervised + supervised, group)
                break
        else:
            groups.append((tokens, supervised, [sample]))
    for _, _, group in groups:
        yield group


def _supervised(sample: EncodedSample) -> int:
    """Count the tokens that are learned; a sample's first token has nothing before it that could predict it."""
    return sum(label != IGNORE_INDEX for label in sample.labels[1:])


def _row_loss(model: torch.nn.Module, row: Sequence[EncodedSample], device: torch.device) -> RowLoss:
    ids = torch.tensor([token for sample in row for token in sample.input_ids], device=device)  # (T,)
    positions = torch.cat([torch.arange(len(sample.input_ids), device=device) for sample in row])  # (T,)
    labels = torch.tensor([label for sample in row for label in (IGNORE_INDEX, *sample.labels[1:])], device=device)
    targets = torch.nonzero(labels != IGNORE_INDEX).flatten()  # (S,)
    logits = _logits_at(model, ids, positions, targets - 1)  # (S, V)
    step = max(1, LOGITS_BUDGET_BYTES // (16 * logits.shape[-1]))
    total = 0.0
    for start in range(0, len(targets), step):
        part = targets[start : start + step]
        scores = logits[start : start + step].float()
        total += float(torch.nn.functional.cross_entropy(scores, labels[part], reduction="sum"))
    return RowLoss(total, len(targets))


def _logits_at(model: torch.nn.Module, ids: torch.Tensor, positions: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Return the logits at the positions ``where``, and compute no others.

    Shape: ``ids`` (T,), ``positions`` (T,), ``where`` (S,) → (S, V).
    """
    output = model(
        input_ids=ids[None], position_ids=positions[None], attention_mask=None, use_cache=False, logits_to_keep=where
    )
    logits: torch.Tensor = output.logits[0]
    return logits if logits.shape[0] == len(where) else logits[where]  # a model that does not know logits_to_keep


def generate_answers(
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[Message]],
    facts: BaseModelFacts,
    *,
    max_new_tokens: int,
    batch_size: int = 8,
    turn_ends: Collection[str] = (),
) -> list[str]:
    """Return the model's most likely answer to each prompt, word by word (greedy), up to its end-of-turn token.

    The prompt is rendered exactly as the training samples were, then opened for the assistant.

    Args:
        model: A causal language model, with or without adapter.
        tokenizer: Its tokenizer.
        prompts: The messages so far, one conversation each.
        facts: The base model's template and end token.
        max_new_tokens: Longest answer, in tokens.
        batch_size: Prompts answered at a time.
        turn_ends: Tokens that ended the assistant's turns in training: some templates use another than the end token.
    """
    texts = [render(messages, facts, add_generation_prompt=True) for messages in prompts]
    encoded = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    end_tokens = _end_tokens(model, facts, turn_ends)
    room = max(1, facts.max_position_embeddings - max_new_tokens)
    encoded = [ids[-room:] for ids in encoded]
    answers: list[str] = []
    with torch.no_grad(), _evaluation_mode(model):
        for start in range(0, len(encoded), batch_size):
            answers += _generate(model, tokenizer, encoded[start : start + batch_size], end_tokens, max_new_tokens)
    return answers


def _generate(
    model: Any, tokenizer: PreTrainedTokenizerBase, batch: list[list[int]], end_tokens: list[int], max_new_tokens: int
) -> list[str]:
    from transformers import GenerationConfig

    device = _input_device(model)
    longest = max(len(ids) for ids in batch)
    pad = end_tokens[0]  # masked out: which token it is does not matter
    ids = torch.tensor([[pad] * (longest - len(ids)) + ids for ids in batch], device=device)  # (B, T)
    mask = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in batch], device=device)
    config = GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=False,
        num_beams=1,
        repetition_penalty=1.0,
        use_cache=True,
        eos_token_id=end_tokens,
        pad_token_id=pad,
    )
    output = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)
    return [str(text).strip() for text in tokenizer.batch_decode(output[:, longest:], skip_special_tokens=True)]


def _end_tokens(model: Any, facts: BaseModelFacts, turn_ends: Collection[str]) -> list[int]:
    """Return the end tokens of the tokenizer, of the template and of the model: a chat model may name several."""
    of_template = {facts.tokenizer.token_to_id(token) for token in turn_ends} - {None}
    own = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    own = [] if own is None else [own] if isinstance(own, int) else list(own)
    return sorted({facts.eos_token_id, *of_template, *own})


@contextmanager
def _evaluation_mode(model: torch.nn.Module) -> Iterator[None]:
    """Switch dropout and gradient checkpointing off, and put every flag back as it was."""
    training = {module: module.training for module in model.modules()}
    config: Any = getattr(model, "config", None)
    use_cache = getattr(config, "use_cache", None)
    model.eval()
    try:
        yield
    finally:
        for module, was_training in training.items():
            module.training = was_training
        if use_cache is not None:
            config.use_cache = use_cache


def _input_device(model: torch.nn.Module) -> torch.device:
    return next(model.parameters()).device


def _vocabulary_size(model: Any) -> int:
    config = model.config
    return int(config.get_text_config().vocab_size)
