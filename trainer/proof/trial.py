"""The checks of acceptance: one adapter folder, loaded again from its files, on each base model."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from trainer.base_model.load import BaseKind, base_kind, load_base, resolve_device, resolve_dtype
from trainer.config.recipe import Recipe
from trainer.data.message import TOOLS, Message
from trainer.data.rendering import render_chat, template_inputs
from trainer.export.adapter_folder import missing_files, tensor_problems, weight_problems
from trainer.export.checksums import CHECKSUMS, checksum_problems
from trainer.export.merge import free_memory_bytes, weight_count
from trainer.files import read_json
from trainer.proof.evaluation import EvalSet, Evaluation, evaluate_model
from trainer.proof.merged import merged_problems
from trainer.proof.report import AcceptanceCheck, AcceptanceReport
from trainer.proof.same_base import compare_base
from trainer.proof.scoring import FORMAT_SCORES
from trainer.shortage.forms import is_shortage

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from trainer.base_model.tokenization import BaseModelFacts
    from trainer.events import EventLog

SMALLEST_LOGIT_CHANGE = 1e-3
KEPT_SHARE = 0.5
"""On the unquantised base the adapter should keep this share of what it lowered the 4-bit base's loss by."""


class Trial:
    """Makes the checks on one adapter, in order, and keeps what was found.

    Args:
        recipe: The recipe it was trained with.
        folder: The adapter folder; nothing is written to it.
        eval_set: What to evaluate on.
        facts: The base model's facts.
        location: The base model, as ``prepare_base_model`` gives it.
        events: The event file for each check and evaluation.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        eval_set: EvalSet,
        facts: BaseModelFacts,
        location: str,
        events: EventLog | None,
    ) -> None:
        """Read what the folder says about itself."""
        self._recipe = recipe
        self._folder = folder
        self._eval_set = eval_set
        self._facts = facts
        self._location = location
        self._events = events
        self._manifest = read_json(folder / "manifest.json") or {}
        self._metrics = read_json(folder / "metrics.json") or {}
        self._checks: list[AcceptanceCheck] = []
        self._evaluations: dict[str, Evaluation] = {}
        self._weights = 0
        self._trained_kind: BaseKind = "4bit" if recipe.model.load_in_4bit else "unquantised"

    def run(self, expected: tuple[str, ...], base: Evaluation | None = None) -> None:
        """Check the folder, then the adapter on every base model.

        Args:
            expected: Files that the folder must hold.
            base: What the base scored, on the kind of base that was trained on; evaluated here when left out.
        """
        trained_on_4bit = self._recipe.model.load_in_4bit
        if self._check_folder(expected) and self._check_on_trained_base(trained_on_4bit, base) and trained_on_4bit:
            self._check_on_unquantised_base()

    def report(self) -> AcceptanceReport:
        """Return the outcome so far."""
        samples = tuple(self._samples())
        report = AcceptanceReport(tuple(self._checks), dict(self._evaluations), samples)
        return replace(report, metrics={**self._metrics, **report.to_metrics()})

    @property
    def accepted(self) -> bool:
        """Whether no required check has failed so far."""
        return all(check.passed for check in self._checks if check.required)

    # ---- the folder

    def check_base_unchanged(self, before: str, after: str) -> None:
        """Compare the base's fingerprints before and after training."""
        value = before[:12] if before == after else f"the base model changed in training: {before[:12]} → {after[:12]}"
        self._add("base_unchanged", before == after, value, "the base model's weights are the same after training")

    def _check_folder(self, expected: tuple[str, ...]) -> bool:
        missing = missing_files(self._folder, expected)
        if not self._add_problems("files_complete", missing, "every file of an adapter is there and not empty"):
            return False
        changed = checksum_problems(self._folder)
        self._add_problems("checksums_match", changed, f"every file is what {CHECKSUMS} says")
        broken = weight_problems(self._folder)
        sound = self._add_problems("weights_sound", broken, "all numbers are finite, and the update is not zero")
        return sound and not changed and self._check_tokenizer()

    def _check_tokenizer(self) -> bool:
        name, requirement = "tokenizer_agrees", "the saved tokenizer and chat template give the ids trained on"
        rendering = render_chat(self._eval_set.prompts[0], self._facts, add_generation_prompt=True)
        inputs = template_inputs(rendering.messages, self._facts, arguments_as_text=rendering.arguments_as_text)
        messages = inputs.pop("messages")
        try:
            own = self._tokenizer().apply_chat_template(
                messages, add_generation_prompt=True, return_dict=False, **inputs
            )
        except (OSError, ValueError, KeyError, TypeError) as err:
            return self._add(name, False, f"the tokenizer cannot be loaded: {_first_line(err)}", requirement)
        trained = self._facts.tokenizer.encode(rendering.text, add_special_tokens=False).ids
        same = list(own) == list(trained)
        value = f"{len(trained)} ids of a prompt" if same else "a prompt gets other ids than in training"
        return self._add(name, same, value, requirement)

    def _tokenizer(self) -> PreTrainedTokenizerBase:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self._folder)

    # ---- on the base it was trained on

    def _check_on_trained_base(self, quantised: bool, base_result: Evaluation | None) -> bool:
        base = self._load_base(quantised)
        kind = self._trained_kind = base_kind(base)
        self._weights = weight_count(base)
        if not (self._check_fingerprint(base) and self._check_coverage(base)):
            return False
        self._record(f"base_{kind}", base_result or self._evaluate(base), reported=base_result is not None)
        model = self._load_adapter(base, kind)
        if model is None:
            return False
        self._check_logits(model)
        self._record(f"adapter_{kind}", self._evaluate(model))
        self._check_results(kind)
        return True

    def _check_fingerprint(self, base: torch.nn.Module) -> bool:
        same, value = compare_base(self._manifest, self._recipe, self._location, base)
        return self._add("base_fingerprint", same, value, "the base model is the one the adapter was trained on")

    def _check_coverage(self, base: torch.nn.Module) -> bool:
        problems = tensor_problems(self._folder, base, self._recipe)
        requirement = "every targeted layer of the base has both its tensors, in shape, under the name PEFT loads"
        return self._add_problems("tensors_cover_targets", problems, requirement)

    def _load_adapter(self, base: torch.nn.Module, kind: str) -> Any:
        from peft import PeftModel

        name, requirement = f"loads_on_{kind}_base", "a fresh base model loads the saved adapter"
        try:
            model = PeftModel.from_pretrained(base, str(self._folder))
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as err:
            if is_shortage(err):
                raise
            self._add(name, False, f"the adapter does not load: {_first_line(err)}", requirement)
            return None
        self._add(name, True, f"{len(model.peft_config)} adapter", requirement)
        return model.eval()

    def _check_logits(self, model: Any) -> None:
        ids = torch.tensor([self._eval_set.samples[0].input_ids[:64]], device=next(model.parameters()).device)
        with torch.no_grad():
            changed = model(input_ids=ids, use_cache=False).logits
            with model.disable_adapter():
                plain = model(input_ids=ids, use_cache=False).logits
        largest = float((changed.float() - plain.float()).abs().max())
        self._add(
            "logits_differ_from_base",
            largest > SMALLEST_LOGIT_CHANGE,
            f"largest change {largest:.3g}",
            f"with the adapter some logit changes by more than {SMALLEST_LOGIT_CHANGE}",
        )

    def _check_results(self, kind: str) -> None:
        base, adapter = self._evaluations[f"base_{kind}"], self._evaluations[f"adapter_{kind}"]
        is_better = adapter.loss < base.loss
        self._add(
            "eval_loss_below_base",
            is_better,
            f"{base.loss:.4f} → {adapter.loss:.4f}{'' if is_better else ': no checkpoint beats the base'}",
            "on the base it was trained on, the adapter lowers the eval loss",
        )
        empty = sum(not answer for answer in adapter.answers)
        self._add(
            "answers_generated",
            bool(adapter.answers) and empty == 0,
            f"{len(adapter.answers) - empty} of {len(adapter.answers)} prompts answered",
            "every eval prompt gets an answer that is not empty",
        )

    # ---- on the unquantised base

    def _check_on_unquantised_base(self) -> None:
        gc.collect()
        device = resolve_device(self._recipe.run)
        needed = self._weights * resolve_dtype(self._recipe.model, device).itemsize
        free = free_memory_bytes(device)
        if needed > 0.9 * free:
            value = f"not tried: needs {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free"
            self._add("loads_on_unquantised_base", False, value, "a fresh base model loads the adapter", required=False)
            return
        base = self._load_base(quantised=False)
        if (kind := base_kind(base)) != "unquantised":
            value = f"not tried: the base model comes {'in 4 bits' if kind == '4bit' else 'quantised'}"
            self._add("loads_on_unquantised_base", False, value, "a fresh base model loads the adapter", required=False)
            return
        self._record("base_unquantised", self._evaluate(base))
        model = self._load_adapter(base, "unquantised")
        if model is None:
            return
        self._record("adapter_unquantised", self._evaluate(model))
        self._check_kept()

    def _check_kept(self) -> None:
        base_4bit, adapter_4bit = self._evaluations["base_4bit"], self._evaluations["adapter_4bit"]
        base, adapter = self._evaluations["base_unquantised"], self._evaluations["adapter_unquantised"]
        kept_loss = base.loss - adapter.loss >= KEPT_SHARE * (base_4bit.loss - adapter_4bit.loss)
        kept_form = all(
            adapter.scores.get(score, 0.0) >= KEPT_SHARE * adapter_4bit.scores.get(score, 0.0)
            for score in FORMAT_SCORES
        )
        form = "".join(
            f", {score} {adapter.scores[score]:.2f} (4-bit: {adapter_4bit.scores[score]:.2f})"
            for score in FORMAT_SCORES
            if score in adapter.scores
        )
        self._add(
            "keeps_on_unquantised_base",
            kept_loss and kept_form,
            f"loss {base.loss:.4f} → {adapter.loss:.4f} (4-bit: {base_4bit.loss:.4f} → {adapter_4bit.loss:.4f}){form}",
            "on the unquantised base at least half of what was learned is still there",
            required=False,
        )

    # ---- merged

    def check_merged(self, folder: Path) -> None:
        """Load the merged model again and compare it with the adapter."""
        requirement = "the merged model is whole and holds no quantised weight"
        config = read_json(folder / "config.json")
        problems = checksum_problems(folder) + missing_files(folder, ("tokenizer.json", "chat_template.jinja"))
        if config is None or "quantization_config" in config:
            problems.append("config.json is missing or names a quantization_config")
        if not self._add_problems("merged_files_complete", problems, requirement):
            return
        merged = self._evaluate(load_base(self._recipe, str(folder), quantised=False))
        self._record("merged", merged)
        adapter = self._evaluations[f"adapter_{self._trained_kind}"]
        self._add_problems(
            "merged_as_good_as_adapter",
            merged_problems(merged, adapter),
            "loaded again, the merged model has the adapter's eval loss and keeps the form of its answers",
            value=f"eval loss {merged.loss:.4f} (adapter: {adapter.loss:.4f})",
        )

    # ---- what all share

    def _load_base(self, quantised: bool) -> Any:
        gc.collect()  # the model before this one is no longer referred to, but for cycles
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return load_base(self._recipe, self._location, quantised=quantised)

    def _evaluate(self, model: torch.nn.Module) -> Evaluation:
        return evaluate_model(model, self._tokenizer(), self._eval_set, self._facts, self._recipe)

    def _record(self, name: str, result: Evaluation, *, reported: bool = False) -> None:
        self._evaluations[name] = result
        if self._events is not None and not reported:
            self._events.write(
                "evaluation", step=self._metrics.get("train", {}).get("steps"), eval_loss=result.loss, model=name
            )

    def _add(self, name: str, passed: bool, value: str, requirement: str, *, required: bool = True) -> bool:
        check = AcceptanceCheck(name, passed, value, requirement, required)
        self._checks.append(check)
        if self._events is not None:
            self._events.write("acceptance_check", **asdict(check))
        return passed

    def _add_problems(self, name: str, problems: list[str], requirement: str, *, value: str = "yes") -> bool:
        return self._add(name, not problems, "; ".join(problems) or value, requirement)

    def _samples(self) -> Iterator[dict[str, str]]:
        kind = self._trained_kind
        base, adapter = self._evaluations.get(f"base_{kind}"), self._evaluations.get(f"adapter_{kind}")
        if base is None or adapter is None:
            return
        rows = zip(self._eval_set.prompts, self._eval_set.references, base.answers, adapter.answers, strict=True)
        for prompt, reference, base_answer, adapter_answer in rows:
            sample = {
                "prompt": _as_text(prompt),
                "reference": reference,
                "base_answer": base_answer,
                "adapter_answer": adapter_answer,
            }
            if self._events is not None:
                self._events.write("sample", **sample)
            yield sample


def _as_text(messages: tuple[Message, ...]) -> str:
    """Return the question alone where there is one only, else the conversation with its roles."""
    spoken = [message for message in messages if message.role not in ("system", TOOLS)]
    if len(spoken) == 1:
        return spoken[0].content
    return "\n".join(f"{message.role}: {message.content}" for message in spoken)


def _first_line(err: Exception) -> str:
    return (str(err).splitlines() or [type(err).__name__])[0]
