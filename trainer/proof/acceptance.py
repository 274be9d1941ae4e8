"""Acceptance: the saved adapter is loaded again and has to prove that it works. It decides the exit status."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trainer.base_model.load import prepare_base_model
from trainer.base_model.tokenization import BaseModelFacts, load_base_model_facts
from trainer.config.recipe import Recipe
from trainer.data.samples import encode, load_dataset
from trainer.errors import EXIT_DONE, AcceptanceError
from trainer.export.adapter_folder import EXPECTED_FILES, TRAINED_FILES, verify_adapter_folder
from trainer.export.checksums import CHECKSUMS, list_again, write_checksums
from trainer.export.merge import merge_adapter
from trainer.export.model_card import write_model_card
from trainer.files import write_json
from trainer.proof.evaluation import EvalSet, Evaluation, make_eval_set
from trainer.proof.report import AcceptanceReport
from trainer.proof.trial import Trial
from trainer.shortage.forms import Shortage, shortages_of
from trainer.shortage.measures import nothing_left

if TYPE_CHECKING:
    from trainer.events import EventLog

MERGED_FOLDER = "merged"


def run_acceptance(
    recipe: Recipe,
    adapter_folder: Path,
    *,
    location: str,
    facts: BaseModelFacts,
    eval_set: EvalSet,
    base: Evaluation | None = None,
    base_sha256_before: str | None = None,
    base_sha256_after: str | None = None,
    events: EventLog | None = None,
) -> AcceptanceReport:
    """Prove a freshly exported adapter, merge it if asked to, and finish its folder.

    Adds to the folder: the results in metrics.json, acceptance.json and, when accepted, the model card and the
    checksums of it all. The merged model goes into ``merged`` beside the adapter folder. Free the training model
    first: every model here is loaded again from its files.

    Args:
        recipe: The recipe it was trained with.
        adapter_folder: What ``export_adapter`` wrote.
        location: The base model, as ``prepare_base_model`` gives it.
        facts: The base model's facts.
        eval_set: What to evaluate on.
        base: What the base scored before training, on the kind of base that was trained on; evaluated when left out.
        base_sha256_before: The base's fingerprint before training.
        base_sha256_after: Its fingerprint after training.
        events: The event file for each check, evaluation and sample.

    Raises:
        AcceptanceError: If the adapter is refused; acceptance.json and metrics.json are written all the same.
    """
    trial = Trial(recipe, adapter_folder, eval_set, facts, location, events)
    if base_sha256_before is not None and base_sha256_after is not None:
        trial.check_base_unchanged(base_sha256_before, base_sha256_after)
    trial.run((*TRAINED_FILES, CHECKSUMS), base)
    if recipe.artifacts.merged_model and trial.accepted:
        merged = adapter_folder.parent / MERGED_FOLDER
        merge_adapter(recipe, adapter_folder, merged, location=location)
        trial.check_merged(merged)
    report = trial.report()
    if adapter_folder.is_dir():
        write_json(adapter_folder / "metrics.json", report.metrics)
        write_json(adapter_folder / "acceptance.json", report.to_mapping())
        if not report.accepted:  # only what was written here is listed anew: what was found wrong must not be signed
            list_again(adapter_folder, ("acceptance.json", "metrics.json"))
    report.require()
    _finish_folder(recipe, adapter_folder)
    return report


def _finish_folder(recipe: Recipe, folder: Path) -> None:
    write_model_card(recipe, folder)
    write_checksums(folder)
    if problems := verify_adapter_folder(folder):
        raise AcceptanceError(
            f"acceptance: {problems[0]}",
            resolution="check the disk (`df -h`), then run `make train` again",
            details="\n".join(problems),
        )


def accept_adapter(recipe: Recipe, adapter_folder: Path, *, events: EventLog | None = None) -> int:
    """Prove a finished adapter folder once more, without writing to it, and print each check.

    Returns:
        ``EXIT_DONE``.

    Raises:
        AcceptanceError: If the adapter is refused.
        TrainerError: If the data or the base model cannot be used.
    """
    facts = load_base_model_facts(recipe.model, recipe.data)
    encoded = encode(load_dataset(recipe.data, recipe.run.seed), facts, recipe.data)
    eval_set = make_eval_set(recipe, encoded.dataset, encoded)
    trial = Trial(recipe, adapter_folder, eval_set, facts, prepare_base_model(recipe.model), events)
    try:
        with shortages_of("other"):
            trial.run(EXPECTED_FILES)
    except Shortage as err:
        raise nothing_left(err) from err
    report = trial.report()
    for check in report.checks:
        mark = "pass" if check.passed else "FAIL" if check.required else "warn"
        print(f"{mark}  {check.name}: {check.value}")
    report.require()
    return EXIT_DONE
