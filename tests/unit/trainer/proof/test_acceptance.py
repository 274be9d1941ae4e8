from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import trainer.proof.trial
from tests.tiny_model import make_tiny_model
from tests.trained_adapter import AdapterCase, make_recipe, train_tiny_adapter
from trainer.base_model.load import load_base
from trainer.errors import AcceptanceError
from trainer.events import EventLog, read_events
from trainer.export.adapter_folder import ADAPTER_WEIGHTS, verify_adapter_folder
from trainer.export.checksums import checksum_problems, write_checksums
from trainer.proof.acceptance import accept_adapter
from trainer.proof.evaluation import Evaluation
from trainer.proof.report import AcceptanceCheck, AcceptanceReport

Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def accepted(
    adapter_case: AdapterCase, tmp_path_factory: pytest.TempPathFactory
) -> tuple[AdapterCase, AcceptanceReport]:
    """A finished adapter folder and its report (read only)."""
    case = adapter_case.copy(tmp_path_factory.mktemp("accepted") / "adapter")
    return case, case.accept(base_sha256_before=case.base_sha256, base_sha256_after=case.base_sha256)


def test_a_good_adapter_is_accepted_after_every_check(accepted: tuple[AdapterCase, AcceptanceReport]) -> None:
    _, report = accepted

    assert report.accepted
    assert [check.name for check in report.checks if check.passed] == [
        "base_unchanged",
        "files_complete",
        "checksums_match",
        "weights_sound",
        "tokenizer_agrees",
        "base_fingerprint",
        "tensors_cover_targets",
        "loads_on_4bit_base",
        "logits_differ_from_base",
        "eval_loss_below_base",
        "answers_generated",
        "loads_on_unquantised_base",
        "keeps_on_unquantised_base",
    ]


def test_an_accepted_folder_is_whole_and_signed(accepted: tuple[AdapterCase, AcceptanceReport]) -> None:
    case, report = accepted

    assert verify_adapter_folder(case.folder) == []
    assert json.loads((case.folder / "acceptance.json").read_text()) == json.loads(json.dumps(report.to_mapping()))


def test_metrics_hold_base_and_adapter_on_both_bases(accepted: tuple[AdapterCase, AcceptanceReport]) -> None:
    case, report = accepted

    metrics = json.loads((case.folder / "metrics.json").read_text())

    assert metrics == report.metrics
    assert metrics["train"]["steps"] == 40
    assert set(metrics["eval"]) == {"base_4bit", "adapter_4bit", "base_unquantised", "adapter_unquantised"}
    assert metrics["eval"]["adapter_4bit"]["loss"] < 0.6 * metrics["eval"]["base_4bit"]["loss"]
    assert metrics["eval"]["adapter_4bit"].keys() >= {"json_valid", "json_keys", "field_accuracy", "citations"}
    assert len(metrics["samples"]) == 2
    assert metrics["samples"][0]["prompt"] == case.eval_set.prompts[0][-1].content
    assert metrics["samples"][0]["base_answer"] != metrics["samples"][0]["adapter_answer"]


def test_every_check_evaluation_and_sample_is_reported(adapter_case: AdapterCase, tmp_path: Path) -> None:
    case = adapter_case.copy(tmp_path / "adapter")
    events = EventLog(tmp_path / "events.jsonl")

    report = case.accept(events=events)

    events.close()
    told = read_events(tmp_path / "events.jsonl")
    assert [event["name"] for event in told if event["event"] == "acceptance_check"] == [c.name for c in report.checks]
    assert [event["model"] for event in told if event["event"] == "evaluation"] == list(report.evaluations)
    assert [event["reference"] for event in told if event["event"] == "sample"] == list(case.eval_set.references)


def test_a_known_base_result_is_taken_and_not_reported_again(adapter_case: AdapterCase, tmp_path: Path) -> None:
    case = adapter_case.copy(tmp_path / "adapter")
    events = EventLog(tmp_path / "events.jsonl")
    known = Evaluation(99.0, {"exact_match": 0.0}, ("one", "two"))

    report = case.accept(events=events, base=known)

    events.close()
    models = [event["model"] for event in read_events(tmp_path / "events.jsonl") if event["event"] == "evaluation"]
    assert models == ["adapter_4bit", "base_unquantised", "adapter_unquantised"]
    assert report.evaluations["base_4bit"] == known


def test_a_finished_folder_is_accepted_again_and_stays_the_same(
    accepted: tuple[AdapterCase, AcceptanceReport], capsys: pytest.CaptureFixture[str]
) -> None:
    case, _ = accepted
    before = {path.name: path.read_bytes() for path in case.folder.iterdir()}

    assert accept_adapter(case.recipe, case.folder) == 0

    assert {path.name: path.read_bytes() for path in case.folder.iterdir()} == before
    assert "pass  eval_loss_below_base: " in capsys.readouterr().out


def test_an_unfinished_folder_is_not_accepted_again(adapter_case: AdapterCase) -> None:
    with pytest.raises(AcceptanceError, match=r"^acceptance: files_complete: acceptance.json is missing; README.md"):
        accept_adapter(adapter_case.recipe, adapter_case.folder)


def test_an_adapter_on_an_unquantised_base_is_proved_there(
    tiny_model: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    case = train_tiny_adapter(tiny_model, tiny_dataset, tmp_path / "adapter", load_in_4bit=False)

    report = case.accept()

    assert list(report.evaluations) == ["base_unquantised", "adapter_unquantised"]
    assert report.metrics["eval"]["adapter_4bit"] is None
    assert "loads_on_unquantised_base" in [check.name for check in report.checks]


@pytest.fixture(scope="module")
def prequantised(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model that comes in 4 bits."""
    folder = tmp_path_factory.mktemp("prequantised")
    recipe = make_recipe(tiny_model, tiny_model)
    shutil.copytree(tiny_model, folder, dirs_exist_ok=True)
    load_base(recipe, str(tiny_model), quantised=True).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("load_in_4bit", [True, False])
@pytest.mark.filterwarnings("ignore:You passed `quantization_config`:UserWarning")
def test_a_base_that_comes_in_4_bits_is_called_that(
    prequantised: Path, tiny_dataset: Path, tmp_path: Path, load_in_4bit: bool
) -> None:
    case = train_tiny_adapter(prequantised, tiny_dataset, tmp_path / "adapter", load_in_4bit=load_in_4bit)

    artifacts = case.recipe.artifacts.model_copy(update={"merged_model": True})
    report = case.accept(recipe=case.recipe.model_copy(update={"artifacts": artifacts}))

    assert list(report.evaluations) == ["base_4bit", "adapter_4bit", "merged"]  # merged on what it was trained on
    tried = {check.name: check.value for check in report.checks if check.name.startswith("loads_on")}
    not_tried = {"loads_on_unquantised_base": "not tried: the base model comes in 4 bits"} if load_in_4bit else {}
    assert tried == {"loads_on_4bit_base": "1 adapter"} | not_tried
    assert len(report.samples) == 2


# ---- planted defects: each is refused by name


def _rename(tensors: Tensors) -> Tensors:
    return {key.removeprefix("base_model.model."): value for key, value in tensors.items()}


def _rename_layers(tensors: Tensors) -> Tensors:
    return {key.replace("self_attn", "attention"): value for key, value in tensors.items()}


def _zero_all_b(tensors: Tensors) -> Tensors:
    return {key: torch.zeros_like(value) if "lora_B" in key else value for key, value in tensors.items()}


def _make_b_tiny(tensors: Tensors) -> Tensors:
    return {key: value * 1e-9 if "lora_B" in key else value for key, value in tensors.items()}


def _turn_b_round(tensors: Tensors) -> Tensors:
    return {key: -value if "lora_B" in key else value for key, value in tensors.items()}


def _drop_a_module(tensors: Tensors) -> Tensors:
    return {key: value for key, value in tensors.items() if "down_proj" not in key}


def _plant_nan(tensors: Tensors) -> Tensors:
    key = sorted(tensors)[0]
    return {**tensors, key: torch.full_like(tensors[key], torch.nan)}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_rename, "weights_sound: 28 tensors that PEFT would pass over in silence: model.layers.0."),
        (_rename_layers, "tensors_cover_targets: 16 missing tensors: base_model.model.model.layers.0.self_attn.k_proj"),
        (_zero_all_b, "weights_sound: every lora_B tensor is zero"),
        (_drop_a_module, "tensors_cover_targets: 4 missing tensors: base_model.model.model.layers.0.mlp.down_proj"),
        (_plant_nan, "weights_sound: 1 tensors with NaN or infinity: base_model.model.model.layers.0.mlp.down_proj"),
        (_make_b_tiny, "logits_differ_from_base: largest change "),
        (_turn_b_round, "eval_loss_below_base: "),
    ],
)
def test_a_broken_adapter_is_refused(
    adapter_case: AdapterCase, tmp_path: Path, damage: Callable[[Tensors], Tensors], message: str
) -> None:
    case = adapter_case.copy(tmp_path / "adapter")
    save_file(damage(load_file(case.folder / ADAPTER_WEIGHTS)), case.folder / ADAPTER_WEIGHTS)
    write_checksums(case.folder)

    error = _refusal(case)

    assert error.message.startswith(f"acceptance: {message}")
    assert error.resolution


@pytest.mark.parametrize("name", ["tokenizer.json", "chat_template.jinja", "manifest.json"])
def test_a_missing_file_is_refused(adapter_case: AdapterCase, tmp_path: Path, name: str) -> None:
    case = adapter_case.copy(tmp_path / "adapter")
    (case.folder / name).unlink()
    write_checksums(case.folder)

    assert _refusal(case).message == f"acceptance: files_complete: {name} is missing"


def test_a_changed_byte_is_refused(adapter_case: AdapterCase, tmp_path: Path) -> None:
    case = adapter_case.copy(tmp_path / "adapter")
    content = bytearray((case.folder / ADAPTER_WEIGHTS).read_bytes())
    content[-1] ^= 1
    (case.folder / ADAPTER_WEIGHTS).write_bytes(content)

    expected = f"acceptance: checksums_match: {ADAPTER_WEIGHTS} does not match its checksum"
    assert _refusal(case).message == expected


def test_another_base_model_of_the_same_shape_is_refused(adapter_case: AdapterCase, tmp_path: Path) -> None:
    case = adapter_case.copy(tmp_path / "adapter")
    other = make_tiny_model(tmp_path / "other", seed=1)

    error = _refusal(case, location=str(other))

    assert error.message.startswith("acceptance: base_fingerprint: this base model is ")
    trained_on = json.loads((case.folder / "manifest.json").read_text())["base_model_sha256"]
    assert error.message.endswith(f"the adapter was trained on {trained_on[:12]}")
    assert error.resolution == "set model.base_model and model.revision to the model the adapter was trained on"


def test_a_base_model_that_training_changed_is_refused(adapter_case: AdapterCase, tmp_path: Path) -> None:
    case = adapter_case.copy(tmp_path / "adapter")

    error = _refusal(case, base_sha256_before="a" * 64, base_sha256_after="b" * 64)

    assert error.message.startswith("acceptance: base_unchanged: the base model changed in training")


def test_another_chat_template_is_refused(adapter_case: AdapterCase, tmp_path: Path) -> None:
    case = adapter_case.copy(tmp_path / "adapter")
    (case.folder / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    write_checksums(case.folder)

    assert _refusal(case).message == "acceptance: tokenizer_agrees: a prompt gets other ids than in training"


def test_a_tokenizer_that_does_not_load_is_refused(adapter_case: AdapterCase, tmp_path: Path) -> None:
    case = adapter_case.copy(tmp_path / "adapter")
    (case.folder / "tokenizer.json").write_text('{"version": "1.0"}')
    (case.folder / "tokenizer_config.json").write_text('{"tokenizer_class": "NoSuchTokenizer"}')
    write_checksums(case.folder)

    assert _refusal(case).message.startswith("acceptance: tokenizer_agrees: the tokenizer cannot be loaded: ")


def test_an_adapter_config_that_peft_refuses_is_refused(adapter_case: AdapterCase, tmp_path: Path) -> None:
    case = adapter_case.copy(tmp_path / "adapter")
    config = json.loads((case.folder / "adapter_config.json").read_text())
    (case.folder / "adapter_config.json").write_text(json.dumps({**config, "target_modules": ["no_such_module"]}))
    write_checksums(case.folder)

    assert _refusal(case).message.startswith("acceptance: loads_on_4bit_base: the adapter does not load: ")


def test_empty_answers_are_refused(adapter_case: AdapterCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = adapter_case.copy(tmp_path / "adapter")
    _fake_evaluations(monkeypatch, Evaluation(2.0, {}, ("a", "b")), Evaluation(1.0, {}, ("a", "")))

    assert _refusal(case).message == "acceptance: answers_generated: 1 of 2 prompts answered"


def test_a_loss_that_is_not_a_number_is_refused(
    adapter_case: AdapterCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = adapter_case.copy(tmp_path / "adapter")
    _fake_evaluations(monkeypatch, Evaluation(2.0, {}, ("a", "b")), Evaluation(float("nan"), {}, ("a", "b")))

    assert _refusal(case).message == "acceptance: eval_loss_below_base: 2.0000 → nan: no checkpoint beats the base"


def test_a_refused_folder_can_be_sent_home_and_checked_there(adapter_case: AdapterCase, tmp_path: Path) -> None:
    case = adapter_case.copy(tmp_path / "adapter")
    other = make_tiny_model(tmp_path / "other", seed=1)

    _refusal(case, location=str(other))

    assert checksum_problems(case.folder) == []


def test_a_refusal_signs_no_file_that_was_found_damaged(adapter_case: AdapterCase, tmp_path: Path) -> None:
    case = adapter_case.copy(tmp_path / "adapter")
    (case.folder / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")

    _refusal(case)

    assert checksum_problems(case.folder) == ["chat_template.jinja does not match its checksum"]


def test_a_refused_folder_reports_why_and_is_not_signed(adapter_case: AdapterCase, tmp_path: Path) -> None:
    case = adapter_case.copy(tmp_path / "adapter")
    other = make_tiny_model(tmp_path / "other", seed=1)

    _refusal(case, location=str(other))

    verdict = json.loads((case.folder / "acceptance.json").read_text())
    assert verdict["accepted"] is False
    assert [check["name"] for check in verdict["checks"] if not check["passed"]] == ["base_fingerprint"]
    assert not (case.folder / "README.md").exists()
    assert verify_adapter_folder(case.folder) != []


# ---- the unquantised base


@pytest.mark.parametrize(
    ("base", "adapter", "kept"),
    [
        (Evaluation(2.0, {"json_valid": 0.0}), Evaluation(1.0, {"json_valid": 1.0}), True),
        (Evaluation(2.0, {"json_valid": 0.0}), Evaluation(1.6, {"json_valid": 1.0}), False),
        (Evaluation(2.0, {"json_valid": 0.0}), Evaluation(1.0, {"json_valid": 0.25}), False),
    ],
)
def test_losing_what_was_learned_on_the_unquantised_base_is_a_warning(
    adapter_case: AdapterCase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    base: Evaluation,
    adapter: Evaluation,
    kept: bool,
) -> None:
    case = adapter_case.copy(tmp_path / "adapter")
    on_4bit = Evaluation(2.0, {"json_valid": 0.0}, ("a", "b")), Evaluation(1.0, {"json_valid": 1.0}, ("a", "b"))
    _fake_evaluations(monkeypatch, *on_4bit, base, adapter)

    report = case.accept()

    check = report.checks[-1]
    assert (check.name, check.passed, check.required) == ("keeps_on_unquantised_base", kept, False)
    assert report.accepted
    card = (case.folder / "README.md").read_text()
    assert ("did not show that it keeps what it learned" in card) is not kept


def test_an_unquantised_base_that_does_not_fit_is_a_warning(
    adapter_case: AdapterCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = adapter_case.copy(tmp_path / "adapter")
    monkeypatch.setattr(trainer.proof.trial, "free_memory_bytes", lambda device: 2**10)

    report = case.accept()

    check = report.checks[-1]
    assert (check.name, check.passed, check.required) == ("loads_on_unquantised_base", False, False)
    assert check.value == "not tried: needs 0.0 GiB, 0.0 GiB are free"
    assert report.accepted
    assert report.metrics["eval"]["adapter_unquantised"] is None


# ---- the merged model


def test_a_merged_model_is_checked_after_it_was_loaded_again(adapter_case: AdapterCase, tmp_path: Path) -> None:
    case = _with_merge(adapter_case.copy(tmp_path / "adapter"))

    report = case.accept(recipe=case.recipe)

    assert [check.name for check in report.checks][-2:] == ["merged_files_complete", "merged_as_good_as_adapter"]
    assert report.metrics["eval"]["merged"]["loss"] == pytest.approx(
        report.metrics["eval"]["adapter_4bit"]["loss"], abs=0.02
    )


def test_a_merged_model_that_forgot_is_refused(
    adapter_case: AdapterCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = _with_merge(adapter_case.copy(tmp_path / "adapter"))

    def merge_base_alone(recipe: Any, adapter_folder: Path, folder: Path, *, location: str) -> None:
        from transformers import AutoTokenizer

        load_base(recipe, location, quantised=False).save_pretrained(folder)
        AutoTokenizer.from_pretrained(adapter_folder).save_pretrained(folder)
        write_checksums(folder)

    monkeypatch.setattr("trainer.proof.acceptance.merge_adapter", merge_base_alone)

    assert _refusal(case, recipe=case.recipe).message.startswith("acceptance: merged_as_good_as_adapter: eval loss 7.")


# ---- the verdict


def test_the_verdict_names_the_first_failure_and_lists_all() -> None:
    report = AcceptanceReport(
        (
            AcceptanceCheck("one", True, "1", "first"),
            AcceptanceCheck("warned", False, "0", "never mind", required=False),
            AcceptanceCheck("two", False, "2", "second"),
            AcceptanceCheck("three", False, "3", "third"),
        )
    )

    with pytest.raises(AcceptanceError) as caught:
        report.require()

    assert caught.value.message == "acceptance: two: 2"
    assert caught.value.details == "two: 2 (required: second)\nthree: 3 (required: third)"


def _with_merge(case: AdapterCase) -> AdapterCase:
    from dataclasses import replace

    artifacts = case.recipe.artifacts.model_copy(update={"merged_model": True})
    return replace(case, recipe=case.recipe.model_copy(update={"artifacts": artifacts}))


def _fake_evaluations(monkeypatch: pytest.MonkeyPatch, *results: Evaluation) -> None:
    """Let the models score ``results``, in the order they are evaluated, the last one from then on."""
    queue = list(results)
    monkeypatch.setattr(trainer.proof.trial, "evaluate_model", lambda *_: queue.pop(0) if len(queue) > 1 else queue[0])


def _refusal(case: AdapterCase, **options: Any) -> AcceptanceError:
    with pytest.raises(AcceptanceError) as caught:
        case.accept(**options)
    return caught.value
