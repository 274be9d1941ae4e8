"""Which layers get an adapter: what PEFT and TRL refuse on the machine is refused here."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.planning.checks.base_model import local_files, look_at
from runner.planning.checks.line import Check
from runner.planning.checks.targets import check_targets
from tests.unit.runner.planning.checks.small_run import make_run

LLAMA = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def of_llama(wanted: str | list[str]) -> Check:
    return check_targets(wanted, LLAMA, model_type="llama", layers=2)


def test_names_of_another_architecture_fail_with_the_nearest_ones() -> None:
    line = of_llama(["query_key_value", "dense_h_to_4h"])

    assert line.status == "fail"
    assert line.remedy.startswith("name layers that it has: q_proj, k_proj,")


def test_a_misspelt_name_among_good_ones_is_a_warning() -> None:
    line = of_llama(["q_proj", "v_porj"])

    assert (line.status, line.value) == ("warn", "no layer is called v_porj: only the others get an adapter")
    assert line.remedy.startswith("name layers that it has: ")
    assert "v_proj" in line.remedy


@pytest.mark.parametrize(
    "wanted",
    [
        *("all-linear", ["q_proj"], ["self_attn.q_proj", "up_proj"], ["layers.0.mlp.up_proj"]),
        *(r".*\.(q|v)_proj", r"model\.layers\.1\.mlp\.up_proj", r".*self_attn.*proj", r".*mlp\..*_proj"),
    ],
)
def test_what_takes_a_layer_passes(wanted: str | list[str]) -> None:
    assert of_llama(wanted).status == "pass"


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ([], "the list is empty"),
        (["q_proj", "lm_head"], "lm_head: the output head, which takes no adapter here"),
        (["embed_tokens"], "embed_tokens: the embedding"),
        (["model.embed_tokens", "q_proj"], "model.embed_tokens: the embedding"),
        (["q_proj", "mlp"], "mlp: no linear layer"),
        (["input_layernorm"], "input_layernorm: no linear layer"),
        (".*", "takes lm_head: the output head"),
        (r".*embed_tokens|.*q_proj", "takes model.embed_tokens: the embedding"),
        (r".*self_attn|.*q_proj", "takes model.layers.0.self_attn: no linear layer"),
        (r".*norm", "takes model.norm: no linear layer"),
        (r"(q|v)_proj", "matches no layer: it has to match a whole path, like model.layers.0.self_attn.q_proj"),
        (r".*\.layers\.2\..*_proj", "matches no layer"),
        (r".*mlp\.q_proj", "matches no layer"),
    ],
)
def test_what_the_machine_would_refuse_is_refused_here(wanted: str | list[str], words: str) -> None:
    line = of_llama(wanted)

    assert (line.status, bool(line.remedy)) == ("fail", True)
    assert words in line.value


def test_blocks_of_gpt_neox_have_their_own_paths() -> None:
    known = ("query_key_value", "dense", "dense_h_to_4h")

    found = check_targets(r"gpt_neox.layers.\d.attention.dense", known, model_type="gpt_neox")

    assert (found.status, found.value.rpartition(": ")[2]) == ("pass", "dense")


@pytest.mark.parametrize("wanted", [["q_proj"], r".*q_proj"])
def test_without_the_layers_a_name_is_a_warning(wanted: str | list[str]) -> None:
    assert check_targets(wanted, None, why="unheard-of").status == "warn"
    assert check_targets(["lm_head"], None, why="unheard-of").status == "fail"


def test_the_plan_refuses_an_adapter_on_the_head(tmp_path: Path) -> None:
    run_file = make_run(tmp_path, adapter={"lora_target_modules": ["q_proj", "lm_head"]})

    files = local_files(run_file)

    assert files is not None
    assert {check.name: check.status for check in look_at(run_file, files).checks}["target modules"] == "fail"
