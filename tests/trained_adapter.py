"""A tiny QLoRA adapter, trained in a few seconds without a trainer: what acceptance's tests judge and break."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.config.recipe import Recipe
from trainer.config.sections import AdapterSection, DataSection, EvaluationSection, ModelSection

if TYPE_CHECKING:
    from trainer.base_model.tokenization import BaseModelFacts
    from trainer.proof.evaluation import EvalSet

STEPS = 40


@dataclass(frozen=True)
class AdapterCase:
    """An exported adapter and all that acceptance needs besides."""

    folder: Path
    recipe: Recipe
    facts: BaseModelFacts
    eval_set: EvalSet
    base_sha256: str

    def copy(self, folder: Path) -> AdapterCase:
        """Return the same case on a copy of the folder, to be broken."""
        return replace(self, folder=Path(shutil.copytree(self.folder, folder)))

    def accept(self, **changes: Any) -> Any:
        """Run acceptance on the folder."""
        from trainer.proof.acceptance import run_acceptance

        recipe = changes.pop("recipe", self.recipe)
        options = {"location": recipe.model.base_model, "facts": self.facts, "eval_set": self.eval_set, **changes}
        return run_acceptance(recipe, self.folder, **options)


def make_recipe(model: Path, data: Path, **model_options: Any) -> Recipe:
    """Return a recipe for the tiny model and data set."""
    return Recipe(
        model=ModelSection(base_model=str(model), dtype="float32", **model_options),
        adapter=AdapterSection(lora_r=4, lora_alpha=8, lora_dropout=0.0),
        data=DataSection(train_path=str(data / "train.jsonl"), eval_path=str(data / "eval.jsonl"), max_length=256),
        evaluation=EvaluationSection(generation_samples=2, max_new_tokens=40),
    )


def train_tiny_adapter(model: Path, data: Path, folder: Path, **model_options: Any) -> AdapterCase:
    """Train on the tiny data set with plain PyTorch and export to ``folder``."""
    import torch
    from peft import get_peft_model

    from trainer.base_model.load import base_fingerprint, load_base, load_tokenizer, lora_config
    from trainer.base_model.origin import find_origin
    from trainer.base_model.tokenization import load_base_model_facts
    from trainer.data.samples import encode, load_dataset
    from trainer.export.adapter_folder import export_adapter
    from trainer.proof.evaluation import make_eval_set

    recipe = make_recipe(model, data, **model_options)
    facts = load_base_model_facts(recipe.model, recipe.data)
    dataset = load_dataset(recipe.data, recipe.run.seed)
    encoded = encode(dataset, facts, recipe.data)
    base = load_base(recipe, str(model), quantised=recipe.model.load_in_4bit)
    base_sha256, origin = base_fingerprint(base), find_origin(recipe.model, str(model))
    torch.manual_seed(0)
    peft_model = get_peft_model(base, lora_config(recipe.adapter))
    _fit(peft_model, encoded.train)
    export_adapter(
        peft_model,
        load_tokenizer(str(model), facts, recipe.model),
        recipe,
        facts,
        origin,
        folder,
        manifest=_manifest(recipe, origin, dataset),
        metrics={"train": {"steps": STEPS, "epochs": 4.0, "tokens": 12345, "duration_s": 6.0}, "phases": {}},
    )
    return AdapterCase(folder, recipe, facts, make_eval_set(recipe, dataset, encoded), base_sha256)


def _fit(model: Any, samples: Any) -> None:
    import torch

    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for step in range(STEPS):
        row = [samples[(step * 6 + index) % len(samples)] for index in range(6)]
        ids = torch.tensor([[token for sample in row for token in sample.input_ids]])
        labels = torch.tensor([[label for sample in row for label in (-100, *sample.labels[1:])]])
        positions = torch.tensor([[index for sample in row for index in range(len(sample.input_ids))]])
        loss = model(input_ids=ids, labels=labels, position_ids=positions, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def _manifest(recipe: Recipe, origin: Any, dataset: Any) -> dict[str, Any]:
    return {
        "format": 2,
        "run_name": recipe.run.name,
        **origin.to_mapping(),
        "quantisation": {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
        if recipe.model.load_in_4bit
        else None,
        "data": {
            "train_sha256": dataset.train_sha256,
            "eval_sha256": dataset.eval_sha256,
            "train_samples": len(dataset.train),
            "eval_samples": len(dataset.eval),
        },
        "environment": {"device": "cpu", "device_name": "a processor", "python": "3.11", "packages": {"peft": "0"}},
        "seed": recipe.run.seed,
    }
