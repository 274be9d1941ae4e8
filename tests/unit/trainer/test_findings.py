"""The traps a plain SFTTrainer script falls into, and that our trainer must not.

Each trap is one question asked of both: ours has to answer yes, the plain script (``benchmarks/plain_sft.py``) no.
Where the plain one answers yes one day, the library was mended, and our own way round it may go.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers.trainer_utils import get_last_checkpoint
from trl import SFTTrainer

from benchmarks.plain_sft import make_plain_trainer
from tests.unit.trainer.tiny_recipe import tiny_recipe
from trainer.base_model.load import base_fingerprint, load_base, load_tokenizer
from trainer.base_model.tokenization import load_base_model_facts
from trainer.checkpoints import complete as checkpoint
from trainer.data.chat import IGNORE_INDEX
from trainer.data.samples import encode, load_dataset
from trainer.errors import TrainingError
from trainer.events import EventLog
from trainer.export.merge import merge_adapter
from trainer.training import qlora_trainer
from trainer.training.compiling import why_no_triton
from trainer.training.fitting import build_trainer
from trainer.training.phases import train
from trainer.training.qlora_trainer import QloraTrainer
from trainer.training.run import Run
from trainer.training.stopping import StopRequest

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")  # the plain script's own

FINGERPRINTS = {"recipe": "r", "data": "d", "base_model": "b", "environment": "e"}
CPU = {"use_cpu": True, "bf16": False}
LOW_RATE = 2e-5


class Seed:
    """Makes fresh trainers of both kinds over the same model and data."""

    def __init__(self, model: Path, data: Path, folder: Path) -> None:
        self.model, self.data, self.folder = model, data, folder
        self.count = 0
        self.events = EventLog(folder / "events.jsonl")

    def ours(self, **sections: dict[str, Any]) -> QloraTrainer:
        recipe = tiny_recipe(self.model, self.data, **sections)
        self.count += 1
        output = self.folder / f"ours-{self.count}"
        facts = load_base_model_facts(recipe.model, recipe.data)
        encoded = encode(load_dataset(recipe.data, recipe.run.seed), facts, recipe.data)
        model = load_base(recipe, str(self.model), quantised=True)
        tokenizer = load_tokenizer(str(self.model), facts, recipe.model)
        run = Run(recipe, output, self.events, StopRequest())
        return build_trainer(run, model, tokenizer, encoded, FINGERPRINTS, torch.device("cpu"))

    def plain(self, **options: Any) -> Any:
        self.count += 1
        defaults = {**CPU, "max_length": 256, "learning_rate": 5e-3, "max_steps": 4, "save_strategy": "no"}
        return make_plain_trainer(
            str(self.model), self.data, self.folder / f"plain-{self.count}", **{**defaults, **options}
        )


@pytest.fixture
def seed(tiny_model: Path, tiny_dataset: Path, tmp_path: Path) -> Iterator[Seed]:
    made = Seed(tiny_model, tiny_dataset, tmp_path)
    yield made
    made.events.close()


def adapter_dtypes(trainer: Any) -> set[torch.dtype]:
    return {parameter.dtype for parameter in trainer.model.parameters() if parameter.requires_grad}


def share_of_lora_a_that_moved(trainer: Any) -> float:
    """Train, and return the share of lora_A weights that are not what they were."""
    named = {name: value for name, value in trainer.model.named_parameters() if "lora_A" in name}
    before = {name: value.detach().clone() for name, value in named.items()}
    trainer.train()
    moved = sum(int((value != before[name]).sum()) for name, value in named.items())
    return moved / sum(value.numel() for value in named.values())


# 1: on a CPU bfloat16 is 7 to 130 times slower than float32


def test_a_cpu_computes_in_float32(seed: Seed) -> None:
    assert not seed.ours().args.bf16
    assert seed.plain(bf16=None).args.bf16


# 2: adapter weights in bfloat16 are frozen by rounding


def test_adapter_weights_are_float32(seed: Seed) -> None:
    assert adapter_dtypes(seed.ours()) == {torch.float32}
    assert adapter_dtypes(seed.plain()) == {torch.bfloat16}


def test_no_weight_is_frozen_by_rounding_at_a_low_learning_rate(seed: Seed) -> None:
    low = {"training": {"learning_rate": LOW_RATE}, "evaluation": {"eval_strategy": "no", "eval_steps": None}}

    assert share_of_lora_a_that_moved(seed.ours(**low)) > 0.999
    assert share_of_lora_a_that_moved(seed.plain(learning_rate=LOW_RATE, max_steps=12)) < 0.5


# 3: a resumed run is another run


def test_a_resumed_run_gives_the_same_bytes(seed: Seed, tmp_path: Path) -> None:
    ours = seed.ours()
    ours.train()
    again = seed.ours()
    again.train(resume_from_checkpoint=str(Path(ours.args.output_dir) / "checkpoint-6"))
    assert adapter_bytes(again, tmp_path / "a") == adapter_bytes(ours, tmp_path / "b")

    saving = {"save_strategy": "steps", "save_steps": 2}
    plain = seed.plain(**saving)
    plain.train()
    resumed = seed.plain(**saving)
    resumed.train(resume_from_checkpoint=str(Path(plain.args.output_dir) / "checkpoint-2"))
    assert adapter_bytes(resumed, tmp_path / "c") != adapter_bytes(plain, tmp_path / "d")


def adapter_bytes(trainer: Any, folder: Path) -> bytes:
    trainer.model.save_pretrained(folder)
    return (folder / "adapter_model.safetensors").read_bytes()


# 4: the adapter is right on the 4-bit base it was trained on, not on the original one


def test_the_merged_model_computes_what_was_trained(tiny_model: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    recipe = tiny_recipe(tiny_model, tiny_dataset)
    train(recipe, tmp_path / "output", resume=False)
    adapter = tmp_path / "output" / "adapter"
    ids = torch.arange(5, 69)[None]

    def logits(model: Any) -> torch.Tensor:
        with torch.no_grad():
            return model.float().eval()(input_ids=ids).logits  # type: ignore[no-any-return]

    with torch.no_grad():
        trained = PeftModel.from_pretrained(load_base(recipe, str(tiny_model), quantised=True), adapter)
        wanted = trained.eval()(input_ids=ids).logits
    merge_adapter(recipe, adapter, tmp_path / "merged", location=str(tiny_model))
    ours = logits(AutoModelForCausalLM.from_pretrained(tmp_path / "merged"))
    original = AutoModelForCausalLM.from_pretrained(tiny_model)
    plain = logits(PeftModel.from_pretrained(original, adapter).merge_and_unload())

    assert (ours - wanted).abs().max() < 0.3 * (plain - wanted).abs().max()


# 5: a SIGTERM loses everything since the last checkpoint


def test_sigterm_leaves_a_complete_checkpoint_of_the_step(seed: Seed, tmp_path: Path) -> None:
    script = (
        "import sys, signal; from pathlib import Path; from benchmarks.plain_sft import make_plain_trainer; "
        f"t = make_plain_trainer({str(seed.model)!r}, Path({str(seed.data)!r}), Path({str(tmp_path / 'o')!r}), "
        "use_cpu=True, bf16=False, max_length=256, max_steps=10000, save_steps=10000); "
        "t.train()"
    )
    command = [sys.executable, "-u", "-c", script]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    while b"'loss'" not in (line := process.stdout.readline()):  # a step is done
        assert line, "it ended before its first step"
    process.terminate()
    assert process.wait(timeout=240) == -signal.SIGTERM
    process.stdout.close()
    assert list((tmp_path / "o").glob("checkpoint-*")) == []
    # that ours leaves one is in test_training.py: test_sigterm_saves_within_a_step_and_resuming_gives_the_same_bytes


# 6: the newest checkpoint is resumed from, whatever it holds


def test_a_checkpoint_without_its_optimizer_is_not_resumed_from(seed: Seed) -> None:
    trainer = seed.ours()
    trainer.train()
    folder = Path(trainer.args.output_dir)
    (folder / "checkpoint-12" / "optimizer.pt").unlink()

    chosen, remarks = checkpoint.choose(checkpoint.newest_complete(folder), FINGERPRINTS, {})

    assert chosen is not None
    assert chosen.step == 9
    assert "checkpoint-12" in remarks[0]
    assert get_last_checkpoint(str(folder)) == str(folder / "checkpoint-12")


# 7: out of memory changes the effective batch in silence


def test_the_effective_batch_never_changes_in_silence(seed: Seed, monkeypatch: pytest.MonkeyPatch) -> None:
    from trl import SFTTrainer

    def needs_small_batches(self: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        if self._train_batch_size > 4:
            raise RuntimeError("CUDA out of memory.")
        return real(self, model, inputs, *args, **kwargs)  # type: ignore[no-any-return]

    real = SFTTrainer.training_step
    monkeypatch.setattr(SFTTrainer, "training_step", needs_small_batches)
    options = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2, "max_steps": 2}

    plain = seed.plain(auto_find_batch_size=True, **options)
    plain.train()
    assert plain._train_batch_size * plain.args.gradient_accumulation_steps < 16

    with pytest.raises(RuntimeError, match="out of memory"):
        seed.ours(training=options).train()


# 8: a loss that is not a number is logged as 0.0


def test_a_loss_that_is_not_a_number_is_never_logged_as_zero(seed: Seed, monkeypatch: pytest.MonkeyPatch) -> None:
    from trl import SFTTrainer

    plain = seed.plain()
    monkeypatch.setattr(SFTTrainer, "compute_loss", nan_loss)
    plain.train()
    assert plain.state.log_history[0]["loss"] == 0.0

    ours = seed.ours()
    monkeypatch.setattr(QloraTrainer, "compute_loss", nan_loss)
    with pytest.raises(TrainingError, match="loss at step 1 is nan") as caught:
        ours.train()
    assert "learning_rate" in caught.value.resolution
    assert ours.state.log_history == []


def nan_loss(self: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
    trainable = next(parameter for parameter in model.parameters() if parameter.requires_grad)
    return (trainable * float("nan")).sum()


# 9: a chat template that TRL does not know cannot be masked


def test_any_appending_chat_template_gets_an_assistant_mask(seed: Seed) -> None:
    recipe = tiny_recipe(seed.model, seed.data)
    facts = load_base_model_facts(recipe.model, recipe.data)
    sample = encode(load_dataset(recipe.data, 1), facts, recipe.data).train[0]

    learned = facts.tokenizer.decode(
        [token for token in sample.labels if token != IGNORE_INDEX], skip_special_tokens=False
    )
    answer = json.loads((seed.data / "train.jsonl").read_text().splitlines()[0])["messages"][-1]["content"]

    assert learned == answer + facts.eos_token
    with pytest.raises(ValueError, match="chat template"):
        seed.plain(assistant_only_loss=True)


# 10: padding computes what nobody asked for


def test_packed_rows_hold_hardly_any_padding(seed: Seed) -> None:
    ours = seed.ours()
    plain = seed.plain(per_device_train_batch_size=8)

    packed = [len(ids) for ids in ours.train_dataset["input_ids"]]
    batch = next(iter(plain.get_train_dataloader()))

    assert sum(packed) / (len(packed) * 256) > 0.75
    assert all("attention_mask" not in batch for batch in ours.get_train_dataloader())
    assert int(batch["attention_mask"].sum()) < batch["attention_mask"].numel()


# and four more


def test_a_gradient_of_zero_ends_the_run(seed: Seed) -> None:
    def zero_gradients(trainer: Any) -> Any:
        for parameter in trainer.model.parameters():
            if parameter.requires_grad:
                parameter.register_hook(torch.zeros_like)
        return trainer

    plain = zero_gradients(seed.plain())
    plain.train()
    assert plain.state.log_history[0]["grad_norm"] == 0.0

    with pytest.raises(TrainingError, match=r"gradient's norm at step 1 is 0\.0"):
        zero_gradients(seed.ours()).train()


def test_evaluating_changes_neither_the_base_nor_the_gradients(seed: Seed) -> None:
    trainer = seed.ours()
    before, norm_before = base_fingerprint(trainer.model), gradient_norms(trainer)

    trainer.evaluate()

    assert base_fingerprint(trainer.model) == before
    assert gradient_norms(trainer) == norm_before


def test_a_plain_evaluation_cuts_gradients_on_a_cpu_with_avx512_bf16(seed: Seed) -> None:
    from bitsandbytes.functional import has_avx512bf16

    if not has_avx512bf16():
        pytest.skip("this CPU has no AVX512-BF16, where bitsandbytes repacks weights in the first evaluation")
    plain = seed.plain()
    before, norms_before = base_fingerprint(plain.model), gradient_norms(plain)

    plain.evaluate(plain.train_dataset)

    assert base_fingerprint(plain.model) != before
    assert gradient_norms(plain) != norms_before


def gradient_norms(trainer: Any) -> list[float]:
    """Return the norm of each adapter tensor's gradient on the first batch, without dropout."""
    trainer.model.zero_grad()
    trainer.model.train()
    for module in trainer.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    ids = torch.arange(5, 69)[None]
    trainer.model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    norms = [float(p.grad.norm()) for p in trainer.model.parameters() if p.requires_grad and p.grad is not None]
    trainer.model.zero_grad()
    return norms


def test_telemetry_is_off_unless_asked_for() -> None:
    script = (
        "import sys; from trainer.quiet import silence_libraries; silence_libraries(telemetry=sys.argv[1] == 'on'); "
        "from huggingface_hub import constants; print(constants.HF_HUB_DISABLE_TELEMETRY)"
    )

    def is_disabled(setting: str) -> str:
        command = [sys.executable, "-c", script, setting]
        return subprocess.run(command, capture_output=True, text=True, timeout=240, check=True, env={}).stdout.strip()

    assert is_disabled("off") == "True"
    assert is_disabled("on") == "False"


def test_max_length_is_passed_in_todays_spelling(seed: Seed) -> None:
    assert seed.ours(data={"max_length": 128}).args.max_length == 128
    with pytest.raises(TypeError, match="max_seq_length"):
        seed.plain(max_seq_length=128)


def test_our_loss_equals_that_of_the_plain_head(seed: Seed) -> None:
    ours = seed.ours()
    batch = next(iter(ours.get_train_dataloader()))
    ours.model.eval()

    own = ours.compute_loss(ours.model, dict(batch))
    ours._own_loss = False
    trl = ours.compute_loss(ours.model, dict(batch))

    torch.testing.assert_close(own, trl, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("keeps_logits", [True, False])
def test_without_a_compiler_a_gpu_computes_the_same_loss_without_triton(
    seed: Seed, monkeypatch: pytest.MonkeyPatch, keeps_logits: bool
) -> None:
    """This processor stands in for the GPU; the compiler is really missing."""
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(qlora_trainer, "why_no_triton", lambda _: why_no_triton(torch.device("cuda")))
    monkeypatch.setattr(qlora_trainer, "_takes_logits_to_keep", lambda _: keeps_logits)
    ours = seed.ours()
    batch = next(iter(ours.get_train_dataloader()))
    ours.model.eval()

    with monkeypatch.context() as without:
        without.setattr(SFTTrainer, "compute_loss", None)
        own = ours.compute_loss(ours.model, dict(batch))
    ours._own_loss = False
    trl = ours.compute_loss(ours.model, dict(batch))

    assert ours.why_no_triton == "there is no C compiler (gcc or clang)"
    torch.testing.assert_close(own, trl, rtol=1e-5, atol=1e-6)


def test_the_adapter_holds_float32_on_disk(seed: Seed, tmp_path: Path) -> None:
    seed.ours().model.save_pretrained(tmp_path / "a")

    assert {tensor.dtype for tensor in load_file(tmp_path / "a" / "adapter_model.safetensors").values()} == {
        torch.float32
    }
