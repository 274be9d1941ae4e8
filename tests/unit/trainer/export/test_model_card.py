from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.trained_adapter import AdapterCase
from trainer.base_model.origin import Origin
from trainer.config.recipe import Recipe
from trainer.config.sections import ModelSection, PublishingSection
from trainer.export.model_card import render_model_card

MANIFEST = {
    "run_name": "tiny",
    "base_model": "org/base-1.5B",
    "base_model_kind": "hub",
    "base_model_revision": "a" * 40,
    "base_model_files": {"model.safetensors": "b" * 64},
    "data": {"train_sha256": "c" * 64, "eval_sha256": "d" * 64, "train_samples": 60, "eval_samples": 8},
    "environment": {
        "python": "3.11.7",
        "packages": {"torch": "2.13.0", "peft": "0.21.2"},
        "platform": "Linux",
        "device_name": "NVIDIA H200",
    },
}
METRICS: dict[str, Any] = {
    "train": {"steps": 22, "epochs": 2.0, "tokens": 45678, "duration_s": 90.0},
    "eval": {
        "base_4bit": {"loss": 2.61, "json_valid": 0.0},
        "adapter_4bit": {"loss": 0.19, "json_valid": 1.0},
        "base_unquantised": {"loss": 2.16, "json_valid": 0.0},
        "adapter_unquantised": {"loss": 0.7, "json_valid": 0.25},
    },
    "samples": [{"prompt": "How high?", "reference": "{}", "base_answer": "", "adapter_answer": "```\n{}"}],
}
LOST = {
    "name": "keeps_on_unquantised_base",
    "passed": False,
    "value": "loss 2.16 → 0.70 | less",
    "requirement": "…",
    "required": False,
}
ACCEPTANCE = {
    "accepted": True,
    "checks": [{"name": "files_complete", "passed": True, "value": "yes", "requirement": "…", "required": True}, LOST],
}


def test_front_matter_is_what_the_hub_reads() -> None:
    publishing = PublishingSection(license="apache-2.0", language=["en"], tags=["json", "lora"])
    recipe = Recipe(model=ModelSection(base_model="org/base-1.5B"), publishing=publishing)

    assert _front_matter(_render(recipe)) == {
        "base_model": "org/base-1.5B",
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "license": "apache-2.0",
        "language": ["en"],
        "tags": ["qlora", "lora", "json"],
    }


def test_a_model_of_the_hub_is_given_with_its_commit() -> None:
    card = _render(Recipe())

    assert f"The base model's commit was `{'a' * 40}`." in card
    assert "base = 'org/base-1.5B'  # or where your copy of the base model is" in card
    assert f"revision='{'a' * 40}'" in _snippet(card)


def test_a_gguf_file_with_a_name_on_the_hub_is_given_by_both() -> None:
    card = _render(Recipe(), Origin("gguf", "org/base", None, {"base.Q4_1.gguf": "e" * 64}))

    assert _front_matter(card)["base_model"] == "org/base"
    assert (
        f"read from the GGUF file `base.Q4_1.gguf` (SHA-256 `{'e' * 64}`): the adapter was trained on that file's "
        "weights, held in 4 bits (NF4), not on the original ones.\n" in card
    )
    assert "revision" not in _snippet(card)


@pytest.mark.parametrize(("kind", "name"), [("folder", "mine"), ("gguf", "mine.gguf")])
def test_a_base_model_without_a_name_on_the_hub_is_to_be_passed_by_hand(kind: str, name: str) -> None:
    card = _render(Recipe(), Origin(kind, name, None, {"weights": "e" * 64}))

    assert "base_model" not in _front_matter(card)
    assert "It has no name on the Hub: pass your copy of it by hand, as below." in card
    assert f"base = '{name}'  # where your copy of the base model is" in card
    assert f"| base model's weights | `{'e' * 64}` |" in card


def test_facts_that_nobody_gave_are_left_out_of_the_front_matter() -> None:
    assert not {"license", "language"} & _front_matter(_render(Recipe())).keys()


def test_results_stand_side_by_side() -> None:
    rows = [line for line in _render(Recipe()).splitlines() if re.match(r"\| \**(base|adapter), ", line)]

    assert rows == [
        "| base, 4-bit | 2.6100 | 0% |",
        "| **adapter, 4-bit** | 0.1900 | 100% |",
        "| base, unquantised | 2.1600 | 0% |",
        "| adapter, unquantised | 0.7000 | 25% |",
    ]


def test_the_card_says_on_which_base_the_adapter_was_proved_and_where_it_lost() -> None:
    card = _render(Recipe())

    assert "**proved on the 4-bit (NF4) base**" in card
    assert "**On the unquantised base it did not show that it keeps what it learned** (loss 2.16 → 0.70 | less)" in card


def test_an_adapter_of_an_unquantised_base_says_so() -> None:
    card = _render(Recipe(model=ModelSection(load_in_4bit=False)))

    assert "**proved on the unquantised base**" in card
    assert "BitsAndBytesConfig" not in card
    assert "qlora" not in _front_matter(card)["tags"]


def test_recipe_versions_and_fingerprints_are_there() -> None:
    card = _render(Recipe())

    for fact in (
        "22 optimizer steps",
        "45,678 tokens",
        "NVIDIA H200",
        "1.5 minutes",
        "| `2.13.0` |",
        "b" * 64,
        "c" * 64,
    ):
        assert fact in card, fact


def test_a_fence_in_an_answer_does_not_end_its_block() -> None:
    assert "````text\n```\n{}\n````" in _render(Recipe())


def test_a_bar_in_a_found_value_does_not_break_the_table() -> None:
    assert "| keeps_on_unquantised_base | warning | loss 2.16 → 0.70 \\| less |" in _render(Recipe())


def test_a_prompt_with_quotes_and_a_pinned_revision_make_a_program_that_compiles() -> None:
    prompt = "Is it \"so\" or 'so'?\n```"
    metrics = {**METRICS, "samples": [{**METRICS["samples"][0], "prompt": prompt}]}
    recipe = Recipe(model=ModelSection(base_model="org/base-1.5B", trust_remote_code=True))

    program = _snippet(render_model_card(recipe, MANIFEST, metrics, ACCEPTANCE))

    compile(program, "card", "exec")
    assert repr(prompt) in program
    assert f"revision={'a' * 40!r}, trust_remote_code=True" in program


def test_the_card_s_program_runs_by_itself_and_answers_as_acceptance_did(
    adapter_case: AdapterCase, tmp_path: Path
) -> None:
    case = adapter_case.copy(tmp_path / "adapter")
    case.accept()
    program = _snippet((case.folder / "README.md").read_text()).replace("max_new_tokens=128", "max_new_tokens=40")
    base = Path(case.recipe.model.base_model)
    program = program.replace(f"base = {base.name!r}", f"base = {str(base)!r}")

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=case.folder,
        env={**os.environ, "PYTHONPATH": "", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=500,
    )

    answer = json.loads((case.folder / "metrics.json").read_text())["samples"][0]["adapter_answer"]
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == answer


def _render(recipe: Recipe, origin: Origin | None = None) -> str:
    manifest = MANIFEST if origin is None else MANIFEST | origin.to_mapping()
    return render_model_card(recipe, manifest, METRICS, ACCEPTANCE)


def _front_matter(card: str) -> dict[str, Any]:
    opening, matter, _ = card.split("---\n", 2)
    assert opening == ""
    values: dict[str, Any] = yaml.safe_load(matter)
    return values


def _snippet(card: str) -> str:
    found = re.search(r"^(`{3,})python\n(.*?)\n\1$", card, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found.group(2)


def test_what_was_asked_for_besides_is_in_the_settings() -> None:
    plain = Recipe(model=ModelSection(base_model="org/base"))
    asked = Recipe.model_validate(
        {"model": {"base_model": "org/base"}, "adapter": {"use_rslora": True}, "training": {"neftune_noise_alpha": 5}}
    )

    assert "rsLoRA" not in _render(plain)
    assert "NEFTune" not in _render(plain)
    assert "| rsLoRA | on |" in _render(asked)
    assert "| NEFTune noise | 5.0 |" in _render(asked)
