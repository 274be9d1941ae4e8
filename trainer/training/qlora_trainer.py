"""TRL's SFTTrainer, made fit for a run that may be killed at any moment and must not lie about itself.

What it changes, and why, is measured in ``docs/traps.md``: adapter weights stay in float32, a checkpoint is complete or
does not exist, a stop request is served at the next micro-batch, a loss that is not a number ends the run, a gradient
of zero ends the run, the loss is computed on supervised positions only where there is no fused kernel.
"""

from __future__ import annotations

import inspect
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import set_peft_model_state_dict
from safetensors.torch import load_file
from torch.nn import functional
from transformers import PrinterCallback, TrainerControl, TrainerState
from transformers.trainer_utils import IntervalStrategy, rotate_checkpoints
from trl import SFTTrainer

from trainer.base_model.load import keep_adapter_in_fp32
from trainer.checkpoints import complete as checkpoint
from trainer.checkpoints.names import step_of
from trainer.checkpoints.room import make_room
from trainer.config.values import steps_of
from trainer.data.chat import IGNORE_INDEX, EncodedSample
from trainer.environment import memory_peak_gib
from trainer.errors import TrainingError
from trainer.events import EventLog
from trainer.proof.evaluation import eval_loss
from trainer.shortage.forms import shortages_of
from trainer.shortage.measures import FILE as MEASURES
from trainer.training.compiling import why_no_triton
from trainer.training.dropout import drop_fast_on_cpu
from trainer.training.schedule import start_above_zero, take_rate
from trainer.training.stop_callback import StopCallback
from trainer.training.stopping import StopRequest

MOST_SKIPPED_IN_A_ROW = 20
"""A gradient scaler halves its scale with each skipped step: from 65,536 down to 1/16, where no scale is left."""


class _EvaluationCutShort(Exception):  # noqa: N818 (control flow inside this module)
    """The stop request came while evaluating."""


@dataclass(frozen=True)
class Watch:
    """What the trainer reports to and listens to.

    Attributes:
        events: Where every step, evaluation and checkpoint is written.
        stop: The run's stop request.
        say: Prints one line for a person.
        beat: Says that training moves on.
    """

    events: EventLog
    stop: StopRequest
    say: Callable[[str], None]
    beat: Callable[[], None]


class QloraTrainer(SFTTrainer):  # type: ignore[misc]
    """One QLoRA training run.

    Attributes:
        skipped_steps: Steps that a gradient scaler has skipped so far.

    Args:
        eval_samples: Encoded samples to evaluate on.
        fingerprints: What a checkpoint of this run belongs to.
        recipe: The recipe in values, which its checkpoints keep.
        keep_checkpoints: Newest checkpoints to keep; the best one is kept as well.
        watch: Where to report, and what to listen to.
        options: Arguments of ``SFTTrainer``.
    """

    control: TrainerControl

    def __init__(
        self,
        *,
        eval_samples: Sequence[EncodedSample],
        fingerprints: Mapping[str, str],
        recipe: Mapping[str, Any],
        keep_checkpoints: int,
        watch: Watch,
        **options: Any,
    ) -> None:
        """Build the trainer and put the adapter back into float32."""
        super().__init__(**options)
        keep_adapter_in_fp32(self.model)
        if self.args.device.type == "cpu":
            drop_fast_on_cpu(self.model)
        self._eval_samples = eval_samples
        self._fingerprints, self._recipe = fingerprints, recipe
        self._keep_checkpoints = keep_checkpoints
        self._watch = watch
        self._total_steps = 0
        self._skipped_in_a_row = 0
        self.skipped_steps = 0
        self._tokens_since_log = 0
        self._last_log_s = time.monotonic()
        self.why_no_triton = why_no_triton(self.args.device)
        self._keeps_logits = _takes_logits_to_keep(self.model)
        is_on_cuda = self.args.device.type == "cuda"
        self._own_loss = self.why_no_triton is not None or (self._keeps_logits and not is_on_cuda)
        self.remove_callback(PrinterCallback)  # `log` says it in words
        self.add_callback(StopCallback(self, watch.stop))

    # ---- the step

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Return the mean loss over supervised tokens.

        On CUDA this is TRL's fused kernel. Elsewhere, and where Triton cannot compile it, the output head, a fifth of a
        small model's work, is applied to the supervised positions alone.
        """
        if not self._own_loss or return_outputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        inputs = {key: value for key, value in inputs.items() if key != "use_cache"}
        targets = inputs.pop("labels")[:, 1:]  # (B, T - 1)
        positions = (targets != IGNORE_INDEX).any(dim=0).nonzero().flatten()  # (P,)
        targets = targets[:, positions]  # (B, P)
        if self._keeps_logits:
            logits = model(**inputs, use_cache=False, logits_to_keep=positions).logits
        else:
            logits = model(**inputs, use_cache=False).logits[:, positions]
        total = functional.cross_entropy(
            logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORE_INDEX, reduction="sum"
        )
        count = (targets != IGNORE_INDEX).sum() if num_items_in_batch is None else num_items_in_batch
        return total / torch.as_tensor(count, device=total.device).clamp(min=1)

    def training_step(self, model: torch.nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """Do one micro-batch; a loss that is not a finite number ends the run."""
        self._watch.beat()
        mask = inputs.get("attention_mask")
        self._tokens_since_log += int(inputs["input_ids"].numel() if mask is None else mask.sum())
        loss = super().training_step(model, inputs, *args, **kwargs)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"train: the loss at step {self.state.global_step + 1} is {loss.item()}",
                resolution="lower training.learning_rate, or look for damaged text in the data",
            )
        return loss  # type: ignore[no-any-return]

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Any = None) -> Any:
        """Return the gradient's norm; zero means that nothing is being learnt, and ends the run.

        With a gradient scaler a norm that is not finite says that the scale was too large: the step is skipped.
        """
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        value = float(norm)
        if self.accelerator.scaler is not None and not math.isfinite(value):
            self._count_skipped_step()
            return norm
        self._skipped_in_a_row = 0
        if value <= 0.0 or not math.isfinite(value):
            raise TrainingError(
                f"train: the gradient's norm at step {self.state.global_step + 1} is {value}",
                resolution="check adapter.lora_target_modules; with a norm of inf or nan lower training.learning_rate",
            )
        return norm

    def _count_skipped_step(self) -> None:
        self.skipped_steps += 1
        self._skipped_in_a_row += 1
        if self._skipped_in_a_row > MOST_SKIPPED_IN_A_ROW:
            raise TrainingError(
                f"train: the gradient was not finite for {self._skipped_in_a_row} steps in a row, up to step "
                f"{self.state.global_step + 1}",
                resolution="lower training.learning_rate, or set `dtype: float32` or take a GPU with bfloat16",
            )

    def _load_scaler(self, checkpoint: str | None) -> None:
        """Go on with the scaler of a checkpoint, and with its count of skipped steps."""
        super()._load_scaler(checkpoint)
        counts = [entry["skipped_steps"] for entry in self.state.log_history if "skipped_steps" in entry]
        self.skipped_steps = counts[-1] if counts else 0

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log, with speed and memory added; steps go to the event file as well."""
        if "loss" in logs:
            now_s = time.monotonic()
            logs["tokens"] = self._tokens_since_log
            logs["tokens_per_s"] = round(self._tokens_since_log / max(now_s - self._last_log_s, 1e-9), 1)
            logs["memory_gib"] = round(memory_peak_gib(self.args.device), 3)
            if self.accelerator.scaler is not None:
                logs["skipped_steps"] = self.skipped_steps
            self._tokens_since_log, self._last_log_s = 0, now_s
            self._report_step(logs)
        super().log(logs, start_time)

    def _report_step(self, logs: Mapping[str, float]) -> None:
        step, max_steps = self.state.global_step, self.state.max_steps
        self._watch.events.write(
            "step", step=step, max_steps=max_steps, epoch=round(float(self.state.epoch or 0.0), 4), **logs
        )
        self._watch.say(
            f"step {step}/{max_steps}  loss {logs['loss']:.4f}  lr {logs['learning_rate']:.2e}  "
            f"grad norm {logs['grad_norm']:.3f}  {logs['tokens_per_s']:.0f} tokens/s  {logs['memory_gib']:.2f} GiB"
        )

    # ---- schedule and evaluation

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Return transformers' schedule, with a first step that learns."""
        is_new = self.lr_scheduler is None
        scheduler = super().create_scheduler(num_training_steps, optimizer)
        if is_new:
            start_above_zero(scheduler, self.args.get_warmup_steps(num_training_steps))
        return scheduler

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Load both, and take the rate that this run's schedule has at the step reached."""
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            take_rate(self.lr_scheduler)

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self._total_steps

    def set_schedule(self, eval_strategy: str, eval_steps: float | None) -> None:
        """Set when to evaluate, save and log, in optimizer steps; ``epoch`` becomes the steps of one epoch."""
        values = self.set_initial_training_values(self.args, self.get_train_dataloader())
        steps_per_epoch, total = int(values[1]), int(values[6])
        self._total_steps = total
        self.args.eval_strategy = IntervalStrategy.NO if eval_strategy == "no" else IntervalStrategy.STEPS
        self.args.eval_steps = max(1, steps_per_epoch) if eval_steps is None else steps_of(eval_steps, total)
        self.args.save_steps = steps_of(self.args.save_steps, total)
        self.args.logging_steps = steps_of(self.args.logging_steps, total)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Return ``{"eval_loss": …}``, token-weighted over all samples, or nothing if a stop request came."""
        del args, kwargs
        try:
            with shortages_of("evaluation"), self.accelerator.autocast():
                loss = eval_loss(
                    self.model,
                    self._eval_samples,
                    batch_rows=self.args.per_device_eval_batch_size,
                    max_length=self.args.max_length,
                    device=self.args.device,
                    packing=self.args.packing,
                    on_batch=self._on_evaluated_batch,
                )
        except _EvaluationCutShort:
            self.save_now()  # `evaluate_if_due` makes up for it when the run resumes from here
            self.control.should_save = False
            self.control.should_training_stop = True
            return {}
        finally:
            self._last_log_s = time.monotonic()
        metrics = {"eval_loss": loss}
        self.log(dict(metrics))
        self._watch.events.write("evaluation", step=self.state.global_step, eval_loss=loss, model="training")
        self._watch.say(f"step {self.state.global_step}/{self.state.max_steps}  eval loss {loss:.4f}")
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _on_evaluated_batch(self) -> None:
        self._watch.beat()
        if self._watch.stop.is_requested:
            raise _EvaluationCutShort

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        if not metrics:
            return False
        return bool(super()._determine_best_metric(metrics=metrics, trial=trial))

    def evaluate_if_due(self) -> None:
        """Make up for an evaluation that a stop request cut short at the step the run resumes from."""
        step = self.state.global_step
        if step == 0 or self.args.eval_strategy == "no":
            return
        is_due = step % self.args.eval_steps == 0 or step >= self.state.max_steps
        is_done = any(entry["step"] == step and "eval_loss" in entry for entry in self.state.log_history)
        if is_due and not is_done:
            self._determine_best_metric(self.evaluate(), None)

    # ---- checkpoints

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write no card: ours is written at the end, from the run's facts."""

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        """Save, make complete by the manifest, and only then delete older ones; before that where the disk is short."""
        started_s = time.monotonic()
        step = self.state.global_step
        folder = Path(self.args.output_dir) / f"checkpoint-{step}"
        shutil.rmtree(folder, ignore_errors=True)  # left by an attempt that was cut off
        best = {f"checkpoint-{self.state.best_global_step}", Path(self.state.best_model_checkpoint or "").name}
        make_room(folder.name, folder.parent, kept=best, on_removed=self._report_removed)
        super()._save_checkpoint(model, trial)
        measures = folder.parent.parent / MEASURES
        if measures.is_file():
            shutil.copyfile(measures, folder / MEASURES)
        saved = checkpoint.complete(folder, step, self._fingerprints, self._recipe)
        rotate_checkpoints(
            output_dir=str(folder.parent),
            save_total_limit=self._keep_checkpoints,
            best_model_checkpoint=self.state.best_model_checkpoint,
        )
        self._watch.events.write(
            "checkpoint_saved",
            step=step,
            path=folder.name,
            size_bytes=saved.size_bytes,
            duration_s=round(time.monotonic() - started_s, 3),
        )
        self._last_log_s = time.monotonic()

    def _report_removed(self, name: str) -> None:
        words = "the disk is short of room for the next one"
        self._watch.events.write("checkpoint_removed", step=step_of(name), message=words)
        self._watch.say(f"{name} removed: {words}")

    def restore_finished(self, folder: Path) -> None:
        """Take up a checkpoint of the last step: nothing is left to train, but export and proof may be."""
        self._load_adapter(folder)
        self.state = TrainerState.load_from_json(str(folder / "trainer_state.json"))
        self.evaluate_if_due()

    def load_best(self) -> int | None:
        """Put the adapter with the lowest eval loss into the model; returns its step unless it is the last one."""
        best = self.state.best_global_step
        folder = Path(self.args.output_dir) / f"checkpoint-{best}"
        if not best or best == self.state.global_step or not folder.is_dir():
            return None
        self._load_adapter(folder)
        return int(best)

    def _load_adapter(self, folder: Path) -> None:
        set_peft_model_state_dict(self.model, load_file(folder / "adapter_model.safetensors"))

    def save_now(self) -> None:
        """Save the last whole optimizer step, unless that is on disk already or there is none yet."""
        step = self.state.global_step
        folder = Path(self.args.output_dir) / f"checkpoint-{step}"
        if step > 0 and not (folder / checkpoint.MANIFEST_NAME).is_file():
            self._save_checkpoint(self.model, trial=None)


def _takes_logits_to_keep(model: Any) -> bool:
    """Return whether the base model can give logits at chosen positions only."""
    return "logits_to_keep" in inspect.signature(type(model.get_base_model()).forward).parameters
