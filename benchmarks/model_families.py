"""Our reading of configurations beside what transformers builds: ``python -m benchmarks.model_families [--write]``.

Every family that ``runner/planning/estimate/families/table.py`` knows is built on the meta device, where weights take
no memory, in several configurations: heads tied or not, biases and norms as by default and the other way round, and
real ones. What bitsandbytes would quantise of it, and what PEFT would adapt, is asked of those libraries themselves.

Of mixtures of experts, which the plan refuses, the configurations are listed alone.

``--write`` makes ``benchmarks/model_families.json``, which a test holds our reading to, and the ``fields.json`` beside
the table, by which a configuration is read that does not say everything. Run it after each new lock of transformers.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.family_configs import FAMILIES, SIGHTED, configurations, own_names, own_values
from benchmarks.results import PROJECT

TABLE = PROJECT / "benchmarks" / "model_families.json"
FIELDS = FAMILIES / "fields.json"
BLOCK = re.compile(r"\.\d+\.")
PARTS = ("siglip_vision_model",)
"""Types of such a part."""
MIXTURE = re.compile(r"^class \w*(Experts?|Mo[eE])\w*\(", re.MULTILINE)
SWITCHED_ON: Mapping[str, Mapping[str, Any]] = {
    "doge": {"is_moe": True},
    "dots1": {"n_routed_experts": 8},
    "gemma4": {"text_config": {"enable_moe_block": True, "num_experts": 8}},
    "gemma4_text": {"enable_moe_block": True, "num_experts": 8},
    "hunyuan_v1_moe": {"num_experts": 8},
}
"""What makes mixtures of families that are none by default."""


@dataclasses.dataclass(frozen=True)
class Built:
    """A model as transformers builds it.

    Attributes:
        parameters: All weights; those that are tied count once.
        four_bit: Layers that bitsandbytes quantises: path with ``*`` for the block, inputs, outputs, how many.
        adapted: Weights of an adapter of rank 1 on all linear layers.
    """

    parameters: int
    four_bit: list[list[Any]]
    adapted: int


def main(argv: Sequence[str] | None = None) -> None:
    """Compare our reading with what transformers builds; exit status 1 where they differ."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.model_families", description=main.__doc__)
    parser.add_argument("--write", action="store_true", help="write the tables")
    parser.add_argument("kinds", nargs="*", help="families; all by default")
    chosen = parser.parse_args(argv)
    if chosen.write:
        FIELDS.write_text(json.dumps(fields(), indent=1) + "\n", encoding="utf-8")
    rows = table(chosen.kinds)
    if chosen.write:
        TABLE.write_text(_lines({"families": rows, "mixtures": mixtures()}), encoding="utf-8")
    wrong = [line for row in rows if (line := difference(row)) is not None]
    print("\n".join(wrong) or "our reading agrees with transformers")
    sys.exit(1 if wrong else 0)


def table(kinds: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return a row for each configuration of each family: the configuration, and what transformers builds of it."""
    from runner.planning.estimate.families.table import FAMILIES as KNOWN

    return [
        {"what": what, "config": config, **dataclasses.asdict(built(config))}
        for kind in KNOWN
        if kind in causal() and (not kinds or kind in kinds)
        for what, config in configurations(kind)
    ]


def difference(row: Mapping[str, Any]) -> str | None:
    """Return in words how our reading of a row's configuration differs from what transformers built, or ``None``."""
    from runner.planning.estimate.model_shape import shape_of

    shape = shape_of(row["config"])
    ours = {
        "parameters": shape.parameters,
        "four_bit": shape.linear_parameters,
        "adapted": shape.lora_parameters(1),
        "layers": _named(shape),
    }
    theirs = {
        "parameters": row["parameters"],
        "four_bit": sum(inputs * outputs * count for _, inputs, outputs, count in row["four_bit"]),
        "adapted": row["adapted"],
        "layers": _ends(row["four_bit"]),
    }
    wrong = [f"{name} {ours[name]}, built {theirs[name]}" for name in ours if ours[name] != theirs[name]]
    return f"{row['config']['model_type']}, {row['what']}: {'; '.join(wrong)}" if wrong else None


def _named(shape: Any) -> list[tuple[Any, ...]]:
    """Return the layers that a shape says are quantised: name, inputs and outputs."""
    taken = (linear for linear in (*shape.linears, *shape.outer) if linear.is_quantised)
    return sorted({(linear.name, linear.inputs, linear.outputs) for linear in taken})


def _ends(four_bit: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Return the same of a row of the table; a layer outside of blocks has its last name alone."""
    return sorted({(path.rpartition(".*." if ".*." in path else ".")[2], *sizes) for path, *sizes, _ in four_bit})


def built(config: Mapping[str, Any]) -> Built:
    """Build a model without memory, and ask the libraries what they would quantise and adapt."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig
    from transformers.integrations.bitsandbytes import replace_with_bnb_linear
    from transformers.pytorch_utils import Conv1D
    from transformers.quantizers.base import get_keys_to_not_convert

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config, pad_token_id=0))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    head = model.get_output_embeddings()
    linears = {
        name: tuple(module.weight.shape) if isinstance(module, Conv1D) else (module.in_features, module.out_features)
        for name, module in model.named_modules()
        if isinstance(module, (torch.nn.Linear, Conv1D)) and module is not head
    }
    kept = get_keys_to_not_convert(model)
    replace_with_bnb_linear(model, kept, BitsAndBytesConfig(load_in_4bit=True))
    taken = [name for name, module in model.named_modules() if type(module).__name__ == "Linear4bit"]
    counted = Counter((BLOCK.sub(".*.", name, count=1), *linears[name]) for name in taken)
    return Built(
        parameters=parameters,
        four_bit=[[*layer, count] for layer, count in counted.items()],
        adapted=sum(inputs + outputs for inputs, outputs in linears.values()),
    )


def fields() -> dict[str, Any]:
    """Return what ``fields.json`` holds."""
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    from runner.planning.estimate.families.table import FAMILIES as KNOWN

    known = {kind: CONFIG_MAPPING[f"{kind}_text" if kind in SIGHTED else kind] for kind in KNOWN if kind in causal()}
    known |= {kind: CONFIG_MAPPING[kind] for kind in PARTS}
    return {
        "transformers": transformers.__version__,
        "causal": {kind: text for kind, (text, _) in sorted(causal().items())},
        "experts": sorted({causal()[row["model_type"]][0] for row in mixtures()} - SWITCHED_ON.keys()),
        "eager": sorted(kind for kind in KNOWN if kind in causal() and not causal()[kind][1]._supports_sdpa),
        "fields": {
            kind: {"defaults": own_values(of_kind), "names": own_names(of_kind)} for kind, of_kind in known.items()
        },
    }


def causal() -> dict[str, tuple[str, Any]]:
    """Return the types that ``AutoModelForCausalLM`` takes, with the type and the class of what it builds of each."""
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    found = {}
    for kind, name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.items():
        of_model = getattr(transformers, name)
        text = CONFIG_MAPPING[kind].sub_configs.get("text_config")
        found[kind] = (text.model_type if text is of_model.config_class and text is not None else kind, of_model)
    return found


def mixtures() -> list[dict[str, Any]]:
    """Return, for each family whose code has experts, a configuration with what it says of them and little else."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    rows = []
    for kind, (text, of_model) in sorted(causal().items()):
        if MIXTURE.search(inspect.getsource(sys.modules[of_model.__module__])):
            whole = json.loads(json.dumps(CONFIG_MAPPING[kind]().to_dict(), default=str))
            said = _about_experts(whole if text == kind else whole["text_config"]) | SWITCHED_ON.get(text, {})
            rows.append({"model_type": kind, **(said if text == kind else {"text_config": said})})
    return rows


def _about_experts(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of a configuration that speak of experts, those of parts included."""
    nested = {key: _about_experts(value) for key, value in part.items() if isinstance(value, dict)}
    own = {key: value for key, value in part.items() if "expert" in key and isinstance(value, int)}
    return own | {key: value for key, value in nested.items() if value and not key.startswith(("vision", "audio"))}


def _lines(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Return tables as JSON with a line for each row, so that a change of one is a change of one line."""
    parts = [f'"{name}": [\n' + ",\n".join(map(json.dumps, rows)) + "\n]" for name, rows in tables.items()]
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    main()
