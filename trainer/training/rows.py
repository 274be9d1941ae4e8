"""The samples of a run as the table that TRL takes, made without a list of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trainer.data.chat import EncodedSample

AT_A_TIME = 256
"""Samples that are Python's lists at the same time: some hundred bytes a token, of which the table keeps eight."""


def training_rows(samples: Sequence[EncodedSample]) -> Any:
    """Return samples as a data set of ``datasets``, in their order: a row for each, with ``input_ids`` and ``labels``.

    Args:
        samples: At least one; those of a large data set are made from their bytes when they are looked at.
    """
    import datasets

    numbers = datasets.List(datasets.Value("int32"))
    features = datasets.Features({"input_ids": numbers, "labels": numbers})
    parts = (samples[first : first + AT_A_TIME] for first in range(0, len(samples), AT_A_TIME))
    return datasets.concatenate_datasets(
        [
            datasets.Dataset.from_list(
                [{"input_ids": sample.input_ids, "labels": sample.labels} for sample in part], features=features
            )
            for part in parts
        ]
    )
