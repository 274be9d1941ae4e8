"""The samples: loaded, checked and encoded before anything heavy starts. Imports no torch and no transformers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from trainer.base_model.tokenization import BaseModelFacts
from trainer.config.sections import DataSection
from trainer.data.bad_samples import Problem, left_out, problems_of, refuse_all
from trainer.data.chat import EncodedSample
from trainer.data.collected import (
    Collected,
    Progress,
    Samples,
    collect,
    keys_of,
    no_progress,
    place_of,
    prompts_of,
    shown_places,
)
from trainer.data.encoded import EncodedSplit, Refused
from trainer.data.encoding import encode_splits
from trainer.data.long_samples import Settled, settle_long
from trainer.data.message import Message
from trainer.data.mixture import hold_out, refuse_leaks, used_sources, weighted
from trainer.data.remarks import losses_of, notes_of
from trainer.data.row_remarks import row_remarks
from trainer.data.sample import Sample
from trainer.data.shown import SAMPLES, show_sample
from trainer.data.sources.paths import find_files, shown_paths
from trainer.data.summary import DataSummary, LeftOut, Lengths, SourceUse, SplitSummary, length_histogram
from trainer.errors import BaseModelError, DataError

__all__ = ["Dataset", "EncodedDataset", "Sample", "encode", "generation_prompts", "load_dataset"]


@dataclass(frozen=True)
class Dataset:
    """The checked samples of a run, in the order of the files.

    Attributes:
        train: Samples to learn from.
        eval: Samples kept apart.
        format: ``messages``, ``prompt_completion`` or ``alpaca``; several with a plus sign between them.
        train_sha256: SHA-256 of the training samples as canonical JSON Lines: of the file that is staged.
        eval_sha256: The same of the samples kept apart.
        sources: How each file is used, where there are several.
        bad: Training samples that are left out as they cannot be used.
        eval_bad: Eval samples that are.
        warnings: What is worth a look in the files, a sentence each.
        notes: What was done to the samples, a sentence each.
    """

    train: Sequence[Sample]
    eval: Sequence[Sample]
    format: str
    train_sha256: str
    eval_sha256: str
    sources: tuple[SourceUse, ...] = ()
    bad: int = 0
    eval_bad: int = 0
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class EncodedDataset:
    """The samples as token ids, and what there is to say about them.

    Attributes:
        train: Samples to learn from.
        eval: Samples kept apart.
        summary: What was found out.
        dataset: The samples themselves, in the same order: without those that are left out.
    """

    train: Sequence[EncodedSample]
    eval: Sequence[EncodedSample]
    summary: DataSummary
    dataset: Dataset


def load_dataset(data: DataSection, seed: int, progress: Progress = no_progress) -> Dataset:
    """Read the data files, check every sample's structure, and keep eval apart from train.

    Without ``eval_path``, ``eval_fraction`` of the training samples is held out, the same samples for the same seed.

    Args:
        data: The files, and what to do with samples that cannot be used.
        seed: Decides what is held out, and which part of a source is used.
        progress: Hears how far it is.

    Raises:
        DataError: If files or samples cannot be used.
    """
    train = collect(find_files(data.train_path, "data.train_path"), data, "data.train_path", progress)
    held = None
    if data.eval_path is not None:
        held = collect(find_files(data.eval_path, "data.eval_path"), data, "data.eval_path", progress)
    _check_columns(data, train, held)
    warnings = _settle_bad(data, train, held)
    if held is None:
        chosen, kept = hold_out(train.rows, data, seed)
    else:
        refuse_leaks(train, held, data)
        chosen, kept = list(range(len(train.rows))), list(range(len(held.rows)))
    order = weighted(train, chosen, seed)[: data.max_train_samples]
    samples, held_out = Samples(train.rows, order), Samples((held or train).rows, kept)
    layouts = dict.fromkeys(train.rows.layout(index) for index in range(len(train.rows)))
    return Dataset(
        train=samples,
        eval=held_out,
        format=" + ".join(layouts),
        train_sha256=samples.sha256(),
        eval_sha256=held_out.sha256(),
        sources=used_sources(train, order),
        bad=len(train.bad),
        eval_bad=0 if held is None else len(held.bad),
        warnings=(*warnings, *row_remarks(train, "training"), *(() if held is None else row_remarks(held, "eval"))),
        notes=notes_of([train] if held is None else [train, held]),
    )


def _check_columns(data: DataSection, train: Collected, held: Collected | None) -> None:
    """Refuse a name in ``data.columns`` that no file has: a mistyped one would be dropped in silence."""
    names = dict.fromkeys((*train.names, *(() if held is None else held.names)))
    missing = next((name for name in data.columns.values() if name not in names), None)
    if missing is not None:
        raise DataError(
            f"data: data.columns names the column {missing!r}, which {shown_paths(data.train_path)} does not have",
            resolution=f"name columns that are there: {', '.join(list(names)[:12])}",
        )


def _settle_bad(data: DataSection, train: Collected, held: Collected | None) -> tuple[str, ...]:
    """Refuse the rows that cannot be used, or return the warnings about leaving them out."""
    splits = [("training", train)] if held is None else [("training", train), ("eval", held)]
    totals = [len(one.rows) + len(one.bad) for _, one in splits]
    problems = [problems_of(one) for _, one in splits]
    if data.on_bad_sample == "refuse" or any(not len(one.rows) for _, one in splits):
        refuse_all([one for some in problems for one in some], sum(totals), DataError)
    return tuple(
        words
        for (name, _), some, total in zip(splits, problems, totals, strict=True)
        for words in left_out(some, total, name)
    )


def encode(
    dataset: Dataset, facts: BaseModelFacts, data: DataSection, progress: Progress = no_progress
) -> EncodedDataset:
    """Turn all samples into token ids with labels, and sum up what is in them.

    Args:
        dataset: From ``load_dataset``.
        facts: From ``load_base_model_facts``.
        data: Where to cut, what to learn from, and what to do with samples that do not fit.
        progress: Hears how far it is.

    Raises:
        BaseModelError: If the chat template does not fit the samples.
        DataError: If samples are too long, or have nothing left to learn after the cut at ``max_length``.
    """
    splits = encode_splits({"train": dataset.train, "eval": dataset.eval}, facts, data, progress)
    warnings = _settle_refused(dataset, splits, data)
    train = settle_long(splits["train"], dataset.train, data, "training")
    held_out = settle_long(splits["eval"], dataset.eval, data, "eval")
    left = replace(
        dataset,
        train=_chosen(dataset.train, train.split.positions),
        eval=_chosen(dataset.eval, held_out.split.positions),
        bad=dataset.bad + len(splits["train"].refused),
        eval_bad=dataset.eval_bad + len(splits["eval"].refused),
        warnings=(*dataset.warnings, *warnings, *train.warnings, *held_out.warnings),
    )
    summary = _summarise(left, train, held_out, facts, data)
    return EncodedDataset(train.split.samples, held_out.split.samples, summary, left)


def generation_prompts(dataset: Dataset, n: int) -> list[tuple[tuple[Message, ...], str]]:
    """Return the first ``n`` eval samples as (turns before the last answer, that answer)."""
    return [(sample.messages[:-1], sample.messages[-1].content) for sample in dataset.eval[:n]]


def _settle_refused(dataset: Dataset, splits: dict[str, EncodedSplit], data: DataSection) -> tuple[str, ...]:
    """Refuse the samples that the template refuses, or return the warnings about leaving them out."""
    problems: dict[str, list[Problem]] = {}
    for name, samples in (("training", dataset.train), ("eval", dataset.eval)):
        split = splits["train" if name == "training" else name]
        problems[name] = [_problem(samples, one) for one in split.refused]
    totals = {"training": len(dataset.train), "eval": len(dataset.eval)}
    if data.on_bad_sample == "refuse" or any(len(some) == totals[name] for name, some in problems.items()):
        refuse_all([one for some in problems.values() for one in some], sum(totals.values()), BaseModelError)
    return tuple(words for name, some in problems.items() for words in left_out(some, totals[name], name))


def _problem(samples: Sequence[Sample], refused: Refused) -> Problem:
    sample = samples[refused.index]
    place = place_of(samples, refused.index)
    return Problem(sample.path, place, sample.line, refused.message, refused.resolution, refused.details)


def _chosen(samples: Sequence[Sample], positions: Sequence[int]) -> Sequence[Sample]:
    if isinstance(samples, Samples):
        return Samples(samples.rows, [samples.order[position] for position in positions])
    return tuple(samples[position] for position in positions)


def _summarise(
    dataset: Dataset, train: Settled, held_out: Settled, facts: BaseModelFacts, data: DataSection
) -> DataSummary:
    lengths, eval_lengths = list(train.split.samples.lengths()), list(held_out.split.samples.lengths())
    keys, prompts = keys_of(dataset.train), set(prompts_of(dataset.train))
    special, eval_special = (
        [index for index, is_special in enumerate(one.split.special) if is_special] for one in (train, held_out)
    )
    summary = DataSummary(
        format=dataset.format,
        max_length=data.max_length,
        train=SplitSummary.of_lengths(lengths),
        eval=SplitSummary.of_lengths(eval_lengths),
        duplicate_samples=len(keys) - len(set(keys)),
        shared_prompts=sum(prompt in prompts for prompt in prompts_of(dataset.eval)),
        special_token_samples=len(special),
        eval_special_token_samples=len(eval_special),
        turn_end=train.split.samples[0].turn_end,
        length_histogram=length_histogram([one.total_tokens for one in lengths]),
        sources=dataset.sources,
        left_out=LeftOut(dataset.bad, dataset.eval_bad, train.left_out, held_out.left_out),
        longest_lines=(
            place_of(dataset.train, _longest(lengths)),
            place_of(dataset.eval, _longest(eval_lengths)),
        ),
        warnings=(
            *dataset.warnings,
            *losses_of(train.split.samples.dropped_thoughts(), sum(train.split.indented), facts),
        ),
        notes=dataset.notes,
        shown=tuple(
            show_sample(
                sample.line,
                sample.messages,
                facts,
                max_length=data.max_length,
                assistant_only=data.assistant_only_loss,
            )
            for sample in dataset.train[:SAMPLES]
        ),
    )
    return summary.with_warnings(
        eos_token=facts.eos_token,
        special_lines=shown_places(dataset.train, special),
        eval_special_lines=shown_places(dataset.eval, eval_special),
        assistant_only=data.assistant_only_loss,
    )


def _longest(lengths: Sequence[Lengths]) -> int:
    return max(range(len(lengths)), key=lambda index: lengths[index].total_tokens)
