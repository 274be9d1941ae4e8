"""Whether a run fits a GPU, how many rows would, and the nearest run that does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runner.cloud_api.models import Offer
from runner.errors import UsageError
from runner.planning.estimate.memory import ALLOCATOR_RESERVE, NF4, NF4_PLAIN, Holding, largest_micro_batch, memory_of
from runner.planning.estimate.model_shape import ModelShape
from runner.run.run_file import RunFile

CUDA_CONTEXT_GIB = 0.5
"""What CUDA 12 and 13 take for themselves with kernels loaded as they are needed; an assumption, not measured here."""
USABLE_SHARE = 0.93
"""Of the memory that a GPU is sold with, what ``nvidia-smi`` shows: least 22.5 of 24 GiB (A10), 15 of 16 (T4)."""
OPTIMIZER_BYTES = {
    "auto": 2.0,
    "paged_adamw_8bit": 2.0,
    "adamw_8bit": 2.0,
    "adamw_torch": 8.0,
    "paged_adamw_32bit": 8.0,
}
"""Two states for each weight of the adapter; Dettmers et al. 2022 for the 8-bit ones."""
SHORTEST_LENGTH = 128


class DoesNotFitError(UsageError):
    """No GPU that could be rented has the memory that the run needs."""


@dataclass(frozen=True)
class GpuNeed:
    """What a run needs of one GPU.

    Attributes:
        run_file: The run.
        shape: Its base model.
        data: The data check's summary: the longest sample counts where rows are not packed.
    """

    run_file: RunFile
    shape: ModelShape
    data: Mapping[str, Any]

    @property
    def rows(self) -> int:
        """Rows in a micro-batch; where the plan chooses them, the fewest."""
        return self.run_file.training.micro_batch_rows

    @property
    def row_tokens(self) -> int:
        """Tokens of the longest row."""
        return row_tokens(self.run_file, self.data)

    @property
    def parts_gib(self) -> Mapping[str, float]:
        """Memory at the worst moment of a step, in GiB by part."""
        holding, adapter = trainer_holding(self.run_file, rows=self.rows), self.run_file.adapter
        tokens = self.rows * self.row_tokens
        found = memory_of(self.shape, holding, tokens=tokens, rank=adapter.lora_r, targets=adapter.lora_target_modules)
        return found.parts_gib

    @property
    def gpu_gib(self) -> float:
        """Memory that a GPU has to be sold with, in GiB."""
        return sum(self.parts_gib.values()) / USABLE_SHARE

    def check(self, offers: Iterable[Offer]) -> None:
        """Refuse a run that fits none of the GPUs that are listed; with none listed it refuses nothing.

        Raises:
            DoesNotFitError: With the nearest settings that fit the largest of them.
        """
        largest = max(offers, key=lambda offer: offer.gpu_memory_gib, default=None)
        if largest is None or self.gpu_gib <= largest.gpu_memory_gib:
            return
        nearest = nearest_fit(self.run_file, self.shape, self.data, largest.gpu_memory_gib)
        ways = "take a smaller base model, or machines with larger GPUs"
        if nearest is not None:
            ways = "these settings would fit: " + ", ".join(f"{key}={_word(value)}" for key, value in nearest.items())
        raise DoesNotFitError(
            f"plan: the run needs a GPU of {self.gpu_gib:.1f} GiB "
            f"({self.rows} x {self.row_tokens} tokens in a micro-batch), "
            f"and the largest here, {largest.gpu_name}, has {largest.gpu_memory_gib:g} GiB",
            details="\n".join(f"{name}: {gib:.2f} GiB" for name, gib in self.parts_gib.items()),
            resolution=ways,
        )


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def row_tokens(run_file: RunFile, data: Mapping[str, Any]) -> int:
    """Return the tokens of the longest row: a packed row is full, another holds one sample."""
    if run_file.data.packing:
        return run_file.data.max_length
    return min(run_file.data.max_length, int(data.get("longest_tokens") or run_file.data.max_length))


def rows_that_fit(run_file: RunFile, shape: ModelShape, data: Mapping[str, Any], gpu_memory_gib: float) -> int:
    """Return how many rows in a micro-batch fit a GPU that is sold with so much memory; 0 where not even one does."""

    def most(rows: int) -> int:
        return largest_micro_batch(
            shape,
            trainer_holding(run_file, rows=rows),
            memory_gib=gpu_memory_gib * USABLE_SHARE,
            length=row_tokens(run_file, data),
            rank=run_file.adapter.lora_r,
            targets=run_file.adapter.lora_target_modules,
        )

    return max(most(2), min(1, most(1)))  # one row alone may need less of attention than each of several


def nearest_fit(
    run_file: RunFile, shape: ModelShape, data: Mapping[str, Any], gpu_memory_gib: float
) -> dict[str, Any] | None:
    """Return the fewest settings that make a run fit a GPU, or ``None`` where none would.

    The result stays the same for as long as it can: first fewer rows at a time, then activations computed again, and
    shorter rows only after that.
    """
    for settings in _smaller(run_file):
        changed = _with(run_file, settings)
        if GpuNeed(changed, shape, data).gpu_gib <= gpu_memory_gib:
            return settings
    return None


def _smaller(run_file: RunFile) -> Iterator[dict[str, Any]]:
    """Yield settings that need less and less."""
    training, length = run_file.training, run_file.data.max_length
    rows, steps = training.micro_batch_rows, training.accumulation
    settings: dict[str, Any] = {}
    while rows > 1:
        rows, steps = -(-rows // 2), steps * 2
        settings |= {"training.per_device_train_batch_size": rows, "training.gradient_accumulation_steps": steps}
        yield dict(settings)
    if not training.gradient_checkpointing:
        settings["training.gradient_checkpointing"] = True
        yield dict(settings)
    while length > SHORTEST_LENGTH:
        length //= 2
        yield settings | {"data.max_length": length}


def _with(run_file: RunFile, settings: Mapping[str, Any]) -> RunFile:
    """Return a run file with other values."""
    changed = run_file
    for key, value in settings.items():
        section, name = key.split(".")
        part = getattr(changed, section).model_copy(update={name: value})
        changed = changed.model_copy(update={section: part})
    return changed


def trainer_holding(run_file: RunFile, *, rows: int) -> Holding:
    """Return how our trainer holds tensors on a GPU with so many rows in a micro-batch.

    Every GPU that is planned with computes in 16 bits: in bfloat16, or in float16 where it has none.
    The adapter is in 32 bits, and TRL's fused head goes over the logits in tiles. TRL makes one row of all packed rows;
    there, and where several rows are filled up to the longest, attention is given a mask unless it is flash attention.
    """
    model, number = run_file.model, 4.0 if run_file.model.dtype == "float32" else 2.0
    packs, kernel = run_file.data.packing, model.attn_implementation
    return Holding(
        quantised=(NF4 if model.bnb_4bit_use_double_quant else NF4_PLAIN) if model.load_in_4bit else number,
        unquantised=number,
        optimizer=OPTIMIZER_BYTES[run_file.training.optim],
        activation=number,
        tiles_logits=True,
        saved_input=number + (1.0 if run_file.adapter.lora_dropout else 0.0),
        attention="flash" if kernel == "flash_attention_2" else "eager" if kernel == "eager" else "sdpa",
        has_mask=packs or rows != 1,
        row_tokens=None if packs else run_file.data.max_length,
        checkpointing=run_file.training.gradient_checkpointing,
        context_gib=CUDA_CONTEXT_GIB,
        reserve=ALLOCATOR_RESERVE,
    )
