"""What the data check found out, as plain numbers: for the table, the events and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

from trainer.data.chat import EncodedSample
from trainer.data.shown import ShownSample


class Lengths(NamedTuple):
    """A sample's tokens: before the cut, after it, and those of them that count in the loss."""

    total_tokens: int
    tokens: int
    supervised_tokens: int


@dataclass(frozen=True)
class SplitSummary:
    """Lengths of one split in tokens; all but ``supervised_tokens`` and ``tokens`` before the cut.

    Attributes:
        samples: Number of samples.
        tokens: Tokens after the cut: what one epoch reads.
        supervised_tokens: Of these, tokens that count in the loss.
        shortest: Shortest sample.
        median: Half of the samples are shorter.
        p95: 95 of 100 samples are at most this long.
        longest: Longest sample.
        cut_samples: Samples longer than ``max_length``.
        cut_tokens: Tokens lost by that.
    """

    samples: int
    tokens: int
    supervised_tokens: int
    shortest: int
    median: int
    p95: int
    longest: int
    cut_samples: int
    cut_tokens: int

    @classmethod
    def of(cls, samples: Sequence[EncodedSample]) -> SplitSummary:
        """Sum up a split that holds at least one sample."""
        return cls.of_lengths(
            [Lengths(sample.total_tokens, len(sample.input_ids), sample.supervised_tokens) for sample in samples]
        )

    @classmethod
    def of_lengths(cls, samples: Sequence[Lengths]) -> SplitSummary:
        """Sum up a split of which only the lengths are at hand."""
        lengths = sorted(sample.total_tokens for sample in samples)
        tokens = sum(sample.tokens for sample in samples)
        return cls(
            samples=len(samples),
            tokens=tokens,
            supervised_tokens=sum(sample.supervised_tokens for sample in samples),
            shortest=lengths[0],
            median=round(median(lengths)),
            p95=lengths[-(-95 * len(lengths) // 100) - 1],  # the smallest length that 95 % do not exceed
            longest=lengths[-1],
            cut_samples=sum(sample.total_tokens > sample.tokens for sample in samples),
            cut_tokens=sum(lengths) - tokens,
        )

    @property
    def supervised_share(self) -> float:
        """Share of the tokens that count in the loss."""
        return self.supervised_tokens / self.tokens


@dataclass(frozen=True)
class HistogramBin:
    """Samples with at least ``from_tokens`` and fewer than ``to_tokens`` tokens."""

    from_tokens: int
    to_tokens: int
    count: int


@dataclass(frozen=True)
class SourceUse:
    """How one file of the training split is used.

    Attributes:
        path: The file.
        weight: How often its samples are to be used.
        samples: Samples in it that can be used; those held out for evaluation are among them.
        used: Samples of it that are learned from, repeats included.
    """

    path: str
    weight: float
    samples: int
    used: int


@dataclass(frozen=True)
class LeftOut:
    """Samples that are neither learned from nor evaluated on, because the run file says so.

    Attributes:
        bad: Training samples that cannot be used (``data.on_bad_sample: skip``).
        eval_bad: Eval samples that cannot.
        long: Training samples that are too long (``data.on_long_sample: skip``).
        eval_long: Eval samples that are.
    """

    bad: int = 0
    eval_bad: int = 0
    long: int = 0
    eval_long: int = 0


@dataclass(frozen=True)
class DataSummary:
    """The data check's result.

    Attributes:
        format: Format of the files.
        max_length: Where samples are cut.
        train: The training split.
        eval: The eval split.
        duplicate_samples: Training samples that are copies of an earlier one.
        shared_prompts: Eval samples whose prompt is in the training split too (with another answer).
        special_token_samples: Training samples whose own text holds a special token of the base.
        turn_end: Token that the template ends an assistant turn with.
        length_histogram: Training samples by length before the cut.
        warnings: What a person should look at, a sentence each.
        notes: What was done to the samples, a sentence each.
        eval_special_token_samples: Eval samples whose own text holds a special token.
        sources: How each training file is used, where there are several or one has a weight.
        left_out: Samples that the run goes without.
        longest_lines: The line of the longest training sample, and that of the longest eval sample.
        shown: The first training samples, with what is learned of them.
    """

    format: str
    max_length: int
    train: SplitSummary
    eval: SplitSummary
    duplicate_samples: int
    shared_prompts: int
    special_token_samples: int
    turn_end: str | None
    length_histogram: tuple[HistogramBin, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()
    eval_special_token_samples: int = 0
    sources: tuple[SourceUse, ...] = ()
    left_out: LeftOut = LeftOut()
    longest_lines: tuple[str, str] = ("", "")
    shown: tuple[ShownSample, ...] = ()

    def with_warnings(
        self, *, eos_token: str, special_lines: str, eval_special_lines: str, assistant_only: bool
    ) -> DataSummary:
        """Return the summary with a sentence for everything that is allowed but worth checking, after those it has."""
        found = {
            f"{self.train.cut_samples} of {self.train.samples} training samples are cut at max_length "
            f"{self.max_length} ({self.train.cut_tokens} tokens lost)": self.train.cut_samples > 0,
            f"{self.eval.cut_samples} of {self.eval.samples} eval samples are cut at max_length "
            f"{self.max_length}": self.eval.cut_samples > 0,
            f"{self.duplicate_samples} training samples are copies of others": self.duplicate_samples > 0,
            f"{self.shared_prompts} eval prompts are in the training file too, with another answer": (
                self.shared_prompts > 0
            ),
            f"{self.special_token_samples} training samples hold the text of a special token, which becomes that "
            f"token: line {special_lines}": self.special_token_samples > 0,
            f"{self.eval_special_token_samples} eval samples hold the text of a special token, which becomes that "
            f"token: line {eval_special_lines}": self.eval_special_token_samples > 0,
            f"the chat template never ends a turn with {eos_token}" + self._ending(assistant_only): (
                self.turn_end != eos_token
            ),
        }
        return replace(self, warnings=(*self.warnings, *(sentence for sentence, is_so in found.items() if is_so)))

    def _ending(self, assistant_only: bool) -> str:
        if self.turn_end is not None:
            return f" but with {self.turn_end}: stop there when you generate"
        return ": the adapter learns the words, but not when to stop" if assistant_only else ""

    def to_mapping(self) -> dict[str, Any]:
        """Return plain data for JSON: the training split's numbers by name, the eval split's behind ``eval_``."""
        train, held_out = self.train, self.eval
        return {
            "format": self.format,
            "max_length": self.max_length,
            "train_samples": train.samples,
            "eval_samples": held_out.samples,
            "train_tokens": train.tokens,
            "eval_tokens": held_out.tokens,
            "supervised_tokens": train.supervised_tokens,
            "supervised_share": round(train.supervised_share, 4),
            "eval_supervised_tokens": held_out.supervised_tokens,
            **{f"{name}_tokens": asdict(train)[name] for name in ("shortest", "median", "p95", "longest")},
            **{f"eval_{name}_tokens": asdict(held_out)[name] for name in ("shortest", "median", "p95", "longest")},
            "cut_samples": train.cut_samples,
            "cut_tokens": train.cut_tokens,
            "eval_cut_samples": held_out.cut_samples,
            "eval_cut_tokens": held_out.cut_tokens,
            "duplicate_samples": self.duplicate_samples,
            "shared_prompts": self.shared_prompts,
            "special_token_samples": self.special_token_samples,
            "eval_special_token_samples": self.eval_special_token_samples,
            "sources": [asdict(source) for source in self.sources],
            "left_out": asdict(self.left_out),
            "longest_lines": list(self.longest_lines),
            "turn_end": self.turn_end,
            "length_histogram": [
                {"from": part.from_tokens, "to": part.to_tokens, "count": part.count} for part in self.length_histogram
            ],
            "warnings": list(self.warnings),
            "notes": list(self.notes),
            "shown": [sample.to_mapping() for sample in self.shown],
        }

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> DataSummary:
        """Return the summary of which ``to_mapping`` made this."""
        return cls(
            format=values["format"],
            max_length=values["max_length"],
            train=_split(values, ""),
            eval=_split(values, "eval_"),
            duplicate_samples=values["duplicate_samples"],
            shared_prompts=values["shared_prompts"],
            special_token_samples=values["special_token_samples"],
            turn_end=values["turn_end"],
            length_histogram=tuple(
                HistogramBin(part["from"], part["to"], part["count"]) for part in values["length_histogram"]
            ),
            warnings=tuple(values["warnings"]),
            notes=tuple(values.get("notes", ())),
            eval_special_token_samples=values.get(
                "eval_special_token_samples", 0
            ),  # summaries of older runs lack these
            sources=tuple(SourceUse(**source) for source in values.get("sources", ())),
            left_out=LeftOut(**values.get("left_out", {})),
            longest_lines=tuple(values.get("longest_lines", ("", ""))),
            shown=tuple(ShownSample.from_mapping(sample) for sample in values.get("shown", ())),
        )


def _split(values: Mapping[str, Any], prefix: str) -> SplitSummary:
    """Return one split's numbers; ``train_`` stands only before the two that both splits have under their name."""
    whose = prefix or "train_"
    return SplitSummary(
        samples=values[f"{whose}samples"],
        tokens=values[f"{whose}tokens"],
        supervised_tokens=values[f"{prefix}supervised_tokens"],
        cut_samples=values[f"{prefix}cut_samples"],
        cut_tokens=values[f"{prefix}cut_tokens"],
        **{name: values[f"{prefix}{name}_tokens"] for name in ("shortest", "median", "p95", "longest")},
    )


def length_histogram(lengths: Sequence[int]) -> tuple[HistogramBin, ...]:
    """Count lengths between fixed bounds, four to each power of two, such as 64, 80, 96, 112, 128, 160."""
    bounds = [1]
    while bounds[-1] <= max(lengths):
        power = 1 << (bounds[-1].bit_length() - 1)
        bounds.append(bounds[-1] + max(1, power // 4))
    bins = [HistogramBin(low, high, sum(low <= length < high for length in lengths)) for low, high in pairwise(bounds)]
    filled = [index for index, part in enumerate(bins) if part.count]
    return tuple(bins[filled[0] : filled[-1] + 1])
