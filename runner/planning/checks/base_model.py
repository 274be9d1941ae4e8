"""The base model, from its configuration and tokenizer alone: is it there, and does the run file fit it?"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from runner.adapters.packages import PACKAGED_MODELS
from runner.planning.checks.hub import NAME
from runner.planning.checks.kind_of_model import check_kind
from runner.planning.checks.line import Check, failed, from_error, passed, skipped, warned
from runner.planning.checks.targets import TARGETS, check_targets
from runner.planning.estimate.families.kinds import UnknownShapeError
from runner.planning.estimate.model_shape import ModelShape, read_shape
from runner.run.run_file import RunFile
from trainer.base_model.tokenization import NO_LIMIT, BaseModelFacts, load_base_model_facts
from trainer.config.sections import DataSection, ModelSection
from trainer.errors import TrainerError

TEMPLATE, LENGTH = "chat template", "max_length"
WEIGHTS = ("*.safetensors", "*.bin")
SHORTEST = 16
"""The least ``data.max_length``: what fits every model."""


class Remark(NamedTuple):
    """What to warn of beside the model's name, and what to do about it."""

    words: str
    remedy: str


@dataclass(frozen=True)
class BaseModel:
    """What is known of a base model, and the lines about it.

    Attributes:
        facts: Tokenizer and template, or ``None`` where they cannot be read.
        shape: Its layers, or ``None`` where they are not known.
        checks: The lines.
    """

    facts: BaseModelFacts | None
    shape: ModelShape | None
    checks: tuple[Check, ...]


def local_files(run_file: RunFile) -> Path | None:
    """Return the file or folder that the run file names, or ``None`` for a package or a model of the Hub."""
    base = Path(run_file.model.base_model)  # reading the run file has made local paths absolute
    return base if base.is_absolute() else None


def unseen(line: Check) -> BaseModel:
    """Return an unreadable base model, with a line that says why."""
    rest = (skipped(name, "needs the base model") for name in (LENGTH, TARGETS))
    return BaseModel(None, None, (line, *rest))


def without_files(run_file: RunFile) -> BaseModel:
    """Return a packaged base model that has not been fetched."""
    base = run_file.model.base_model
    if base.removeprefix("pypi:") not in PACKAGED_MODELS:
        known = ", ".join(f"pypi:{package}" for package in PACKAGED_MODELS)
        return unseen(failed(NAME, f"{base}: no such package is locked", f"known: {known}"))
    return unseen(warned(NAME, f"{base} has not been fetched yet", "run `make data-check`, which fetches it"))


def look_at(run_file: RunFile, files: Path, *, note: str = "", remark: Remark | None = None) -> BaseModel:
    """Read what there is to know of a base model and compare the run file with it.

    Args:
        run_file: The run.
        files: The model's folder or ``.gguf`` file; a folder need not hold weights.
        note: What to say beside the model's name.
        remark: What to warn of there, and what to do about it.
    """
    base = run_file.model.base_model
    if files.is_dir() and (lacking := _lacking(run_file, files)) is not None:
        return unseen(lacking)
    model = run_file.model.model_copy(update={"base_model": str(files), "revision": None})
    # What fits every model: the length has a line of its own.
    data = run_file.data.model_copy(update={"max_length": SHORTEST})
    template: tuple[Check, ...] = ()
    try:
        facts = load_base_model_facts(model, data)
    except TrainerError as err:
        line = _renamed(from_error(NAME, err), files, base)
        bare = _facts_without_template(model, data)
        if bare is None:
            return unseen(line)
        facts, template = bare, (Check(TEMPLATE, line.status, line.value, line.remedy),)
    kind_of_model = check_kind(run_file, files)
    if (refused := next((line for line in kind_of_model if line.status == "fail"), None)) is not None:
        return unseen(refused)
    facts = replace(facts, source=base)
    shape, targets = _targets(run_file, files)
    kind = "" if shape is None else f", {shape.model_type}, {shape.parameters / 1e9:.2f} billion weights"
    found = passed(NAME, f"{base}{kind}{note}")
    if remark is not None:
        found = warned(NAME, f"{base}{kind}; {remark.words}{note}", remark.remedy)
    checks = (found, *kind_of_model, check_length(run_file, facts), targets, *template)
    return BaseModel(None if template else facts, shape, checks)


def _lacking(run_file: RunFile, folder: Path) -> Check | None:
    """Return the line for a folder that is not a whole model; of a model of the Hub, the weights are not here."""
    base = run_file.model.base_model
    remedy = "set model.base_model to a folder saved by save_pretrained, a .gguf file or a Hub id"
    if not (folder / "config.json").is_file():
        return failed(NAME, f"{base} holds no config.json", remedy)
    if local_files(run_file) is not None and not any(any(folder.glob(pattern)) for pattern in WEIGHTS):
        return failed(NAME, f"{base} holds no weights ({' or '.join(WEIGHTS)})", remedy)
    return None


def _renamed(line: Check, files: Path, base: str) -> Check:
    """Return a line that speaks of the model as the run file does, not of a folder in a cache."""
    return Check(line.name, line.status, line.value.replace(str(files), base), line.remedy)


def _facts_without_template(model: ModelSection, data: DataSection) -> BaseModelFacts | None:
    """Return the base model's other facts, or ``None`` if they cannot be read either."""
    try:
        return load_base_model_facts(model, data.model_copy(update={"chat_template_path": os.devnull}))
    except TrainerError:
        return None


def check_length(run_file: RunFile, facts: BaseModelFacts) -> Check:
    """Compare ``data.max_length`` with what the base model holds."""
    wanted, limit = run_file.data.max_length, facts.max_position_embeddings
    if limit == NO_LIMIT:
        return passed(LENGTH, f"{wanted:,} tokens; the base model states no limit")
    if wanted > limit:
        remedy = f"set data.max_length to {limit} or less, or take a base model with longer context"
        return failed(LENGTH, f"{wanted:,} tokens, the base model holds {limit:,}", remedy)
    return passed(LENGTH, f"{wanted:,} of {limit:,} tokens")


def _targets(run_file: RunFile, files: Path) -> tuple[ModelShape | None, Check]:
    wanted = run_file.adapter.lora_target_modules
    try:
        shape = read_shape(files)
    except UnknownShapeError as err:
        return None, check_targets(wanted, None, why=err.message.removeprefix("plan: "))
    return shape, check_targets(wanted, shape.target_modules, model_type=shape.model_type, layers=shape.layers)
