"""Whether a base model is of a kind that can be trained, and whether it is known what memory it takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.clouds.registry import CLOUDS
from runner.errors import UsageError
from runner.planning.checks.line import Check, failed, warned
from runner.planning.estimate.families.kinds import UnknownShapeError, UntrainableModelError, needs_own_code
from runner.planning.estimate.model_shape import read_config, shape_of
from runner.run.run_file import RunFile

KIND = "model type"
ON_ITS_OWN = "watch the memory in the first steps; data.max_length and the rows of a micro-batch are what it grows with"


def check_kind(run_file: RunFile, files: Path) -> tuple[Check, ...]:
    """Return a line where a base model cannot be trained, or only where its machine is named; none where all is well.

    What is not known of its layers is not known of its memory either: then no machine is chosen by itself.

    Args:
        run_file: The run.
        files: The model's folder or ``.gguf`` file.
    """
    try:
        config = read_config(files)
    except UnknownShapeError as err:
        return (failed(KIND, _words(err), err.resolution),)
    try:
        if (line := _check_own_code(run_file, config)) is not None:
            return (line,)
        shape_of(config)
    except UntrainableModelError as err:
        return (failed(KIND, _words(err), err.resolution),)
    except UnknownShapeError as err:
        value = f"{_words(err)}, so what memory it takes is not known either"
        if not _is_machine_named(run_file):
            remedy = f"name the machines to try in compute.instance_types, or {err.resolution}"
            return (failed(KIND, value, remedy),)
        return (warned(KIND, value, ON_ITS_OWN), *_check_quantised(config))
    return _check_quantised(config)


def _words(err: UsageError) -> str:
    return err.message.removeprefix("plan: ")


def _is_machine_named(run_file: RunFile) -> bool:
    """Return whether the run file says where to train: on a machine that is there already, or of a kind it names."""
    return bool(run_file.compute.instance_types) or run_file.compute.env not in CLOUDS


def _check_own_code(run_file: RunFile, config: Mapping[str, Any]) -> Check | None:
    """Return a line for a model that needs code which is not trusted."""
    if run_file.model.trust_remote_code or not needs_own_code(config):
        return None
    value = f"only code that lies beside its weights can load a model of type {config.get('model_type')}"
    return failed(KIND, value, "read that code, then set model.trust_remote_code to true")


def _check_quantised(config: Mapping[str, Any]) -> tuple[Check, ...]:
    """Return a line for a model that is quantised already; transformers keeps that, whatever the run file says."""
    found = config.get("quantization_config")
    if not found:
        return ()
    method = (found.get("quant_method") or "bitsandbytes") if isinstance(found, Mapping) else found
    if method == "bitsandbytes" and isinstance(found, Mapping) and found.get("load_in_4bit"):
        remedy = "to choose how it is quantised, take the model that it was made from"
        return (warned(KIND, "quantised in 4 bits already, and stays so: model.bnb_4bit_* is not used", remedy),)
    value = f"quantised already ({method}), and Douse cannot train on that"
    return (failed(KIND, value, "take the model that it was made from, in 16 bits: Douse quantises it itself"),)
