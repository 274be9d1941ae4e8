"""Which base models are refused, and which are planned on named machines alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.planning.checks.kind_of_model import check_kind
from runner.planning.checks.line import Check
from tests.unit.runner.planning.checks.small_run import make_run, write_model

OWN_CODE = {"AutoConfig": "c.Config", "AutoModelForCausalLM": "m.Model"}


def lines(folder: Path, config: dict[str, Any], **sections: dict[str, Any]) -> tuple[Check, ...]:
    model = write_model(folder / "model", **config)
    return check_kind(make_run(folder, **sections), model)


def line(folder: Path, config: dict[str, Any], **sections: dict[str, Any]) -> Check:
    (found,) = lines(folder, config, **sections)
    return found


def test_a_known_family_needs_no_line(tmp_path: Path) -> None:
    assert lines(tmp_path, {}, compute={"env": "lambda"}) == ()


def test_an_unknown_family_is_refused_where_the_machine_would_be_chosen(tmp_path: Path) -> None:
    found = line(tmp_path, {"model_type": "mamba"}, compute={"env": "lambda"})

    assert found == Check(
        "model type",
        "fail",
        "the layers of a model of type mamba are not known, so what memory it takes is not known either",
        "name the machines to try in compute.instance_types, or take a base model of a known type: "
        "docs/memory-model.md lists them",
    )


@pytest.mark.parametrize(
    "compute", [{"env": "local"}, {"env": "lambda", "instance_types": ["gpu_1x_a10"]}, {"env": "nowhere"}]
)
def test_an_unknown_family_is_planned_with_a_warning_on_machines_that_are_named(
    tmp_path: Path, compute: dict[str, Any]
) -> None:
    found = line(tmp_path, {"model_type": "mamba"}, compute=compute)

    assert found.status == "warn"
    assert "what memory it takes is not known" in found.value
    assert found.remedy.startswith("watch the memory in the first steps")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "qwen3_moe", "num_experts": 128}, "this qwen3_moe model is a mixture of experts"),
        ({"model_type": "mistral3"}, "has no causal language model of type mistral3"),
        ({"model_type": "bart", "is_encoder_decoder": True}, "a bart model is an encoder and a decoder"),
        ({"hidden_size": "8"}, 'the configuration of a llama model has hidden_size: "8", which is no whole number'),
        ({"hidden_size": -8}, "has hidden_size: -8"),
        ({"vocab_size": None}, "the configuration of a llama model lacks vocab_size"),
        ({"model_type": None}, "config.json has model_type: null"),
    ],
)
def test_what_no_machine_could_train_is_refused_on_named_ones_too(
    tmp_path: Path, config: dict[str, Any], words: str
) -> None:
    found = line(tmp_path, config)

    assert (found.name, found.status) == ("model type", "fail")
    assert words in found.value
    assert found.remedy


@pytest.mark.parametrize("text", ["[1]", "{", '"llama"'])
def test_a_configuration_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    model = write_model(tmp_path / "model")
    (model / "config.json").write_text(text)

    (found,) = check_kind(make_run(tmp_path), model)

    assert (found.status, found.remedy) == ("fail", "use a model folder with a config.json")
    assert f"{model}/config.json cannot be read" in found.value


def test_code_beside_the_weights_has_to_be_trusted(tmp_path: Path) -> None:
    config = {"model_type": "made-up", "auto_map": OWN_CODE}

    untrusted = line(tmp_path, config)
    trusted = line(tmp_path, config, model={"trust_remote_code": True})

    assert (untrusted.status, untrusted.remedy) == ("fail", "read that code, then set model.trust_remote_code to true")
    assert untrusted.value == "only code that lies beside its weights can load a model of type made-up"
    assert trusted.status == "warn"


@pytest.mark.parametrize(
    ("quantised", "method"),
    [
        ({"quant_method": "gptq", "bits": 4}, "gptq"),
        ({"quant_method": "fp8"}, "fp8"),
        ({"quant_method": "mxfp4"}, "mxfp4"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bitsandbytes"),
        ("awq", "awq"),
    ],
)
def test_a_base_that_is_quantised_otherwise_is_refused(tmp_path: Path, quantised: Any, method: str) -> None:
    found = line(tmp_path, {"quantization_config": quantised})

    assert (found.status, found.value) == (
        "fail",
        f"quantised already ({method}), and Douse cannot train on that",
    )
    assert found.remedy.startswith("take the model that it was made from, in 16 bits")


def test_a_base_in_4_bits_keeps_them_with_a_warning(tmp_path: Path) -> None:
    quantised = {"quant_method": "bitsandbytes", "load_in_4bit": True}

    found = line(tmp_path, {"quantization_config": quantised})
    mixture = line(tmp_path, {"quantization_config": quantised, "num_experts": 8})

    assert found.status == "warn"
    assert "quantised in 4 bits already, and stays so" in found.value
    assert mixture.status == "fail"


def test_of_an_unknown_family_both_lines_are_shown(tmp_path: Path) -> None:
    quantised = {"quant_method": "bitsandbytes", "load_in_4bit": True}

    unknown, kept = lines(tmp_path, {"model_type": "mamba", "quantization_config": quantised})

    assert (unknown.status, kept.status) == ("warn", "warn")
    assert "mamba" in unknown.value
    assert "4 bits" in kept.value
