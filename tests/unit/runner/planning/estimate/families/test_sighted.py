"""A model whose causal class sees as well: all of it is loaded, its text part is what is trained on."""

from __future__ import annotations

from typing import Any

import pytest

from runner.planning.estimate.families.kinds import UntrainableModelError
from runner.planning.estimate.model_shape import shape_of

TEXT = {"model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34}
SEEING = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "image_size": 896, "patch_size": 14}
GEMMA3_4B = {"model_type": "gemma3", "text_config": TEXT, "vision_config": SEEING | {"vision_use_head": False}}


def test_the_part_that_sees_counts_beside_the_text() -> None:
    whole, text = shape_of(GEMMA3_4B), shape_of(TEXT | {"vocab_size": 262208, "num_attention_heads": 8})

    assert whole.parameters == 4_300_079_472
    assert (whole.layers, whole.hidden_size, whole.max_length) == (34, 2560, 131072)
    assert whole.linear_parameters - text.linear_parameters == 27 * (4 * 1152**2 + 2 * 1152 * 4304)
    assert whole.lora_parameters(16) - text.lora_parameters(16) == 27 * 16 * (8 * 1152 + 2 * (1152 + 4304))


def test_names_of_the_text_part_alone_adapt_no_layer_that_sees() -> None:
    names = ["gate_proj", "up_proj"]

    assert shape_of(GEMMA3_4B).lora_parameters(8, names) == 34 * 8 * 2 * (2560 + 10240)


def test_whether_the_head_is_the_embedding_is_said_at_the_top() -> None:
    untied = shape_of(GEMMA3_4B | {"tie_word_embeddings": False})

    assert shape_of(GEMMA3_4B).is_tied
    assert untied.parameters - shape_of(GEMMA3_4B).parameters == 2560 * 262208


@pytest.mark.parametrize("part", [7, "siglip", {"hidden_size": "1152"}, {"patch_size": 0}])
def test_a_part_that_is_none_is_refused(part: Any) -> None:
    with pytest.raises(UntrainableModelError, match="the configuration of a gemma3 model has"):
        shape_of(GEMMA3_4B | {"vision_config": part})
