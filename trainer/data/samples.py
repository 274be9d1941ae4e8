"""The samples: loaded, checked and encoded before anything heavy starts. Imports no torch and no transformers."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trainer.base_model.tokenization import BaseModelFacts
from trainer.config import DataSection
from trainer.data.chat import EncodedSample, Message, encode_chat
from trainer.data.files import SampleFile, read_samples
from trainer.data.remarks import losses_of, notes_of
from trainer.data.rows import other_formats
from trainer.data.summary import DataSummary, SplitSummary, length_histogram
from trainer.errors import BaseModelError, DataError

SHOWN_LINES = 5
"""Lines that an error or a warning names at most."""


@dataclass(frozen=True)
class Sample:
    """One sample.

    Attributes:
        line: Its line in the file, from 1.
        messages: Its turns.
        remarks: What was done to it, as words that follow "samples".
        unused: Keys that are harmless to leave out, and are.
    """

    line: int
    messages: tuple[Message, ...]
    remarks: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """The checked samples of a run, in the order of the files.

    Attributes:
        train: Samples to learn from.
        eval: Samples kept apart.
        format: ``messages``, ``prompt_completion`` or ``alpaca``.
        train_sha256: SHA-256 of the training file.
        eval_sha256: SHA-256 of the eval file; of the held-out samples where there is no such file.
        unlearnable: Samples that were left out, as none of their turns is to be learned.
    """

    train: tuple[Sample, ...]
    eval: tuple[Sample, ...]
    format: str
    train_sha256: str
    eval_sha256: str
    unlearnable: int = 0


@dataclass(frozen=True)
class EncodedDataset:
    """The samples as token ids, in the same order, and what there is to say about them."""

    train: tuple[EncodedSample, ...]
    eval: tuple[EncodedSample, ...]
    summary: DataSummary


def load_dataset(data: DataSection, seed: int) -> Dataset:
    """Read the data files, check every sample's structure, and keep eval apart from train.

    Without ``eval_path``, ``eval_fraction`` of the training file is held out, the same samples for the same seed.

    Raises:
        DataError: On the first problem, with file and line.
    """
    ignored = other_formats(data.format).union(data.ignore_keys)
    file = read_samples(Path(data.train_path), "data.train_path", data.format, ignored)
    samples, unlearnable = _learnable(file, data)
    if data.eval_path is None:
        train, held_out = _hold_out(samples, data, seed)
        eval_sha256 = hashlib.sha256(
            "\n".join(json.dumps(_identity(sample), ensure_ascii=False) for sample in held_out).encode()
        ).hexdigest()
    else:
        eval_file = read_samples(Path(data.eval_path), "data.eval_path", data.format, ignored)
        train, (held_out, unlearnable_eval) = samples, _learnable(eval_file, data)
        unlearnable += unlearnable_eval
        _refuse_leaks(train, held_out, data)
        eval_sha256 = eval_file.sha256
    return Dataset(
        tuple(train[: data.max_train_samples]), tuple(held_out), file.format, file.sha256, eval_sha256, unlearnable
    )


def encode(dataset: Dataset, facts: BaseModelFacts, data: DataSection) -> EncodedDataset:
    """Turn all samples into token ids with labels, and sum up what is in them.

    Args:
        dataset: From ``load_dataset``.
        facts: From ``load_base_model_facts``.
        data: Where to cut, what to learn from, and the file names for messages.

    Raises:
        BaseModelError: If the chat template does not fit the samples.
        DataError: If samples have nothing left to learn after the cut at ``max_length``.
    """
    eval_path = data.eval_path or data.train_path
    train = _encode_split(dataset.train, facts, data, data.train_path)
    held_out = _encode_split(dataset.eval, facts, data, eval_path)
    return EncodedDataset(train, held_out, _summarise(dataset, train, held_out, facts, data))


def generation_prompts(dataset: Dataset, n: int) -> list[tuple[tuple[Message, ...], str]]:
    """Return the first ``n`` eval samples as (turns before the last answer, that answer)."""
    return [(sample.messages[:-1], sample.messages[-1].content) for sample in dataset.eval[:n]]


def _learnable(file: SampleFile, data: DataSection) -> tuple[list[Sample], int]:
    """Return the samples of a file that have something to learn, and how many have not."""
    samples = [Sample(raw.line, raw.turns, raw.remarks, raw.unused) for raw in file.samples]
    if data.assistant_only_loss:
        samples = [
            sample
            for sample in samples
            if any(message.learned for message in sample.messages if message.role == "assistant")
        ]
    if not samples:
        raise DataError(
            f"data: {file.path} has no turn that is to be learned",
            resolution="set `weight: 1` on turns of the assistant, or leave the key out",
        )
    return samples, len(file.samples) - len(samples)


def _key(sample: Sample) -> tuple[Message, ...]:
    return sample.messages


def _identity(sample: Sample) -> list[list[str] | dict[str, Any]]:
    """Return the turns as plain data: role and words, and whatever else a turn has."""
    return [
        [message.role, message.content]
        if message == Message(message.role, message.content)
        else {name: value for name, value in asdict(message).items() if value is not None}
        for message in sample.messages
    ]


def _hold_out(samples: Sequence[Sample], data: DataSection, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Split off ``eval_fraction`` of the different samples; copies of one sample stay on one side."""
    keys = list(dict.fromkeys(_key(sample) for sample in samples))
    if len(keys) < 2:
        raise DataError(
            f"data: {data.train_path} holds {len(keys)} different sample(s), and one must be kept for evaluation",
            resolution="add samples, or set data.eval_path to a file of its own",
        )
    wanted = max(1, round(len(keys) * data.eval_fraction))
    chosen = set(random.Random(seed).sample(keys, wanted))  # noqa: S311 - a split, not a secret
    train = [sample for sample in samples if _key(sample) not in chosen]
    held_out = {_key(sample): sample for sample in reversed(samples) if _key(sample) in chosen}
    return train, sorted(held_out.values(), key=lambda sample: sample.line)


def _refuse_leaks(train: Sequence[Sample], held_out: Sequence[Sample], data: DataSection) -> None:
    train_lines = {_key(sample): sample.line for sample in reversed(train)}
    leaks = [(sample.line, train_lines[_key(sample)]) for sample in held_out if _key(sample) in train_lines]
    if leaks:
        where = _shown([f"{line} (train line {train_line})" for line, train_line in leaks])
        raise DataError(
            f"data: {data.eval_path} has {len(leaks)} sample(s) that are in the training file too: line {where}",
            resolution="take them out of one file, or leave data.eval_path out: then a share of train is held out",
        )


def _encode_split(
    samples: Sequence[Sample], facts: BaseModelFacts, data: DataSection, path: str
) -> tuple[EncodedSample, ...]:
    encoded: list[EncodedSample] = []
    masked: list[str] = []
    for sample in samples:
        try:
            one = encode_chat(
                sample.messages, facts, max_length=data.max_length, assistant_only=data.assistant_only_loss
            )
        except BaseModelError as err:
            raise BaseModelError(
                f"data: {path}:{sample.line} {err.message}", details=err.details, resolution=err.resolution
            ) from err
        encoded.append(one)
        if one.supervised_tokens == 0:
            masked.append(str(sample.line))
    if masked:
        raise DataError(
            f"data: {path} has {len(masked)} sample(s) with nothing to learn within max_length {data.max_length}: "
            f"line {_shown(masked)}",
            resolution="raise data.max_length, shorten the prompts of these lines, or take them out",
        )
    return tuple(encoded)


def _summarise(
    dataset: Dataset,
    train: Sequence[EncodedSample],
    held_out: Sequence[EncodedSample],
    facts: BaseModelFacts,
    data: DataSection,
) -> DataSummary:
    special = [sample for sample in dataset.train if _holds_special_token(sample, facts)]
    duplicates = len(dataset.train) - len({_key(sample) for sample in dataset.train})
    prompts = {_key(sample)[:-1] for sample in dataset.train}
    summary = DataSummary(
        format=dataset.format,
        max_length=data.max_length,
        train=SplitSummary.of(train),
        eval=SplitSummary.of(held_out),
        duplicate_samples=duplicates,
        shared_prompts=sum(_key(sample)[:-1] in prompts for sample in dataset.eval),
        special_token_samples=len(special),
        turn_end=train[0].turn_end,
        length_histogram=length_histogram([sample.total_tokens for sample in train]),
        warnings=losses_of(dataset.train, train, facts),
        notes=notes_of(dataset),
    )
    return summary.with_warnings(
        eos_token=facts.eos_token,
        special_lines=_shown([str(sample.line) for sample in special]),
        assistant_only=data.assistant_only_loss,
    )


def _holds_special_token(sample: Sample, facts: BaseModelFacts) -> bool:
    return any(token in message.content for message in sample.messages for token in facts.special_tokens)


def _shown(items: Sequence[str]) -> str:
    more = f" and {len(items) - SHOWN_LINES} more" if len(items) > SHOWN_LINES else ""
    return ", ".join(items[:SHOWN_LINES]) + more
