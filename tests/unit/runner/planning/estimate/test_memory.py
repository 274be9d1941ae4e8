"""The memory of a training step: each part by hand, and what fits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runner.planning.estimate.memory import (
    GIB,
    NF4,
    Holding,
    block_bytes,
    gradient_bytes,
    largest_micro_batch,
    loss_bytes,
    memory_of,
    score_bytes,
)
from runner.planning.estimate.model_shape import shape_of
from tests.unit.runner.planning.estimate.test_model_shape import GEMMA2, LLAMA_8B, PYTHIA

LLAMA = shape_of(LLAMA_8B)
FALCON = {"num_hidden_layers": 32, "num_attention_heads": 71}
PLAIN = Holding()
ALL = "all-linear"


def parts(holding: Holding, tokens: int = 1024) -> dict[str, float]:
    return dict(memory_of(LLAMA, holding, tokens=tokens, rank=16, targets=ALL).parts_gib)


def test_weights_adapter_and_optimizer_are_bytes_times_numbers() -> None:
    found = parts(PLAIN)

    assert found["base model, 4 bit"] == pytest.approx(6_979_321_856 * NF4 / GIB)
    assert found["base model, unquantised"] == pytest.approx(1_050_939_392 * 2 / GIB)
    assert found["adapter"] == found["gradients"] == 2 * found["optimizer"] == pytest.approx(41_943_040 * 4 / GIB)


def test_checkpointing_keeps_the_input_of_each_block() -> None:
    assert parts(PLAIN)["activations"] == pytest.approx(1024 * 4096 * 2 * 33 / GIB)


def test_without_checkpointing_every_block_keeps_all() -> None:
    found = parts(replace(PLAIN, checkpointing=False))

    assert found["activations"] == pytest.approx(1024 * 32 * block_bytes(LLAMA, PLAIN, ALL, rank=16) / GIB)
    assert found["one block's backward pass"] < parts(PLAIN)["one block's backward pass"]


def test_a_block_keeps_norms_attention_mlp_and_what_adapters_take_in() -> None:
    norms, attention, mlp = 2 * 4 * 4096, 2 * (4096 + 1024 + 1024 + 4096), 3 * 2 * 14336
    inputs = 6 * 4096 + 14336

    assert block_bytes(LLAMA, PLAIN, ALL) == norms + attention + mlp + 3 * inputs
    assert block_bytes(LLAMA, PLAIN, ["q_proj"]) == norms + attention + mlp + 3 * 4096
    assert block_bytes(LLAMA, replace(PLAIN, shares_inputs=True), ALL) == norms + attention + mlp + 3 * (
        2 * 4096 + 14336
    )


def test_an_adapter_keeps_what_its_first_half_makes() -> None:
    assert block_bytes(LLAMA, PLAIN, ALL, rank=64) - block_bytes(LLAMA, PLAIN, ALL) == 7 * 64 * 2
    assert block_bytes(LLAMA, PLAIN, ["q_proj"], rank=64) - block_bytes(LLAMA, PLAIN, ["q_proj"]) == 64 * 2


def test_an_mlp_without_a_gate_keeps_its_inner_width_once() -> None:
    gated, plain = shape_of(LLAMA_8B), shape_of(PYTHIA)

    assert plain.is_gated is False
    assert gated.is_gated
    assert block_bytes(plain, PLAIN, []) == 8 * 512 + 2 * 4 * 512 + 2 * 2048


def test_loss_and_backward_pass_are_never_there_at_once() -> None:
    with_logits = parts(replace(PLAIN, logits=16))

    assert with_logits["loss"] == pytest.approx(1024 * 128256 * 16 / GIB)
    assert "one block's backward pass" not in with_logits
    assert "loss" not in parts(PLAIN)


def test_a_loss_in_tiles_holds_one_tile_and_what_goes_into_the_head() -> None:
    tiled = replace(PLAIN, tiles_logits=True)

    assert loss_bytes(LLAMA, tiled, 1024) == 1024 * 32768 * 2 + 1024 * 4096 * (2 + 2 + 4)
    assert loss_bytes(LLAMA, tiled, 8192) == 4096 * 32768 * 2 + 8192 * 4096 * (2 + 2 + 4)
    assert loss_bytes(LLAMA, PLAIN, 1024) == 0


# attention without flash attention

MASKED = replace(PLAIN, attention="sdpa", has_mask=True)
EAGER = replace(PLAIN, attention="eager")


def test_a_mask_grows_with_the_square_of_what_is_packed_into_one_row() -> None:
    short, long = parts(MASKED, 1024), parts(MASKED, 4096)

    assert short["attention's mask"] == pytest.approx(1024**2 / GIB)
    assert long["attention's mask"] == pytest.approx(4096**2 / GIB)
    assert block_bytes(LLAMA, MASKED, ALL, row_tokens=4096) - block_bytes(LLAMA, MASKED, ALL) == 4096 * 2
    assert "attention's mask" not in parts(PLAIN)


def test_rows_that_are_filled_up_have_a_mask_each() -> None:
    apart = parts(replace(MASKED, row_tokens=1024), 4096)

    assert apart["attention's mask"] == pytest.approx(4 * 1024**2 / GIB)


def test_a_row_alone_needs_no_mask() -> None:
    alone = replace(MASKED, has_mask=False)

    assert "attention's mask" not in parts(alone)
    assert block_bytes(LLAMA, alone, ALL, row_tokens=4096) == block_bytes(LLAMA, PLAIN, ALL)


def test_with_a_mask_keys_and_values_are_repeated_for_each_query() -> None:
    assert block_bytes(LLAMA, MASKED, ALL) - block_bytes(LLAMA, PLAIN, ALL) == 2 * 2 * (4096 - 1024)


def test_eager_attention_keeps_the_softmax_of_each_head_in_both_formats() -> None:
    assert score_bytes(LLAMA, EAGER) == 32 * (4 + 2)
    assert score_bytes(LLAMA, replace(EAGER, activation=4.0)) == 32 * 4
    assert parts(EAGER)["attention's mask"] == pytest.approx(1024**2 * 2 / GIB)
    assert gradient_bytes(LLAMA, EAGER, row_tokens=4096) == 4096 * 32 * (4 + 2) + 2 * 2 * 4096
    assert gradient_bytes(LLAMA, EAGER, row_tokens=8) == gradient_bytes(LLAMA, PLAIN)


def test_a_model_that_caps_its_scores_gets_eager_attention() -> None:
    gemma = shape_of(GEMMA2)

    assert score_bytes(gemma, MASKED) == 8 * (4 + 2 + 2)
    assert score_bytes(gemma, PLAIN) == 0


# the rest


def test_a_family_without_fused_attention_gets_eager_attention() -> None:
    bloom = {"model_type": "bloom", "vocab_size": 250880, "hidden_size": 1024, "n_layer": 24, "n_head": 16}
    sdpa, eager = (Holding(attention=kernel, has_mask=True) for kernel in ("sdpa", "eager"))

    assert score_bytes(shape_of(bloom), sdpa) == score_bytes(shape_of(bloom), eager) == 16 * 6
    assert score_bytes(LLAMA, sdpa) == 2


def test_layers_that_bitsandbytes_leaves_alone_are_held_in_16_bits() -> None:
    falcon = shape_of({"model_type": "falcon", "vocab_size": 65024, "hidden_size": 4544} | FALCON)

    found = memory_of(falcon, PLAIN, tokens=1024, rank=16, targets=ALL).parts_gib

    assert "base model, 4 bit" not in found
    assert found["base model, unquantised"] == pytest.approx(6_921_720_704 * 2 / GIB)


def test_reserve_and_process_come_on_top() -> None:
    bare = memory_of(LLAMA, PLAIN, tokens=1024, rank=16, targets=ALL).total_gib
    whole = memory_of(LLAMA, replace(PLAIN, reserve=0.1, context_gib=0.5), tokens=1024, rank=16, targets=ALL).total_gib

    assert whole == pytest.approx(bare * 1.1 + 0.5)


@pytest.mark.parametrize("memory_gib", [8.0, 16.0, 24.0, 80.0])
def test_the_largest_micro_batch_fits_and_one_row_more_does_not(memory_gib: float) -> None:
    rows = largest_micro_batch(LLAMA, PLAIN, memory_gib=memory_gib, length=512, rank=16, targets=ALL)

    def total(count: int) -> float:
        return memory_of(LLAMA, PLAIN, tokens=count * 512, rank=16, targets=ALL).total_gib

    assert rows >= 1
    assert total(rows) <= memory_gib < total(rows + 1)


def test_where_not_even_one_row_fits_there_is_none() -> None:
    assert largest_micro_batch(LLAMA, PLAIN, memory_gib=4.0, length=512, rank=16, targets=ALL) == 0
