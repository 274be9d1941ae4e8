"""The memory of the model that was trained is there for the next one."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

from tests.unit.trainer.test_findings import Seed
from trainer.training.release import release_optimizer_overrides


def test_an_embedding_that_bitsandbytes_held_goes_with_its_model(
    tiny_model: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    seed = Seed(tiny_model, tiny_dataset, tmp_path)
    trainer = seed.ours(training={"optim": "adamw_8bit"})
    trainer.create_optimizer()
    embedding = weakref.ref(trainer.model.get_base_model().get_input_embeddings())
    seed.events.close()
    del trainer
    gc.collect()
    assert embedding() is not None  # the trap: else this release may go

    release_optimizer_overrides()
    gc.collect()

    assert embedding() is None
