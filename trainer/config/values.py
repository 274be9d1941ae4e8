"""Values of a run file that mean the same in several spellings, read as transformers and PEFT mean them."""

from __future__ import annotations

import math
import re
from typing import Any

ALL_LINEAR = "all-linear"
NAMES = re.compile(r"[\w.-]+([\s,]+[\w.-]+)*,?")
"""One name or several, with commas or spaces between them: what holds other characters is a regular expression."""


def read_steps(value: Any) -> Any:
    """Refuse in one sentence what is neither a number of steps nor a share of all steps.

    Raises:
        ValueError: If it is neither.
    """
    number = value
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            number = None
    if isinstance(number, (int, float)) and not isinstance(number, bool) and math.isfinite(number):
        if 0 < number < 1:
            return float(number)
        if number >= 1 and number == int(number):
            return int(number)
    raise ValueError("give a whole number of steps from 1 on, or a share of all steps between 0 and 1")


def steps_of(value: float, total: int) -> int:
    """Return a number of steps that is given as such or as a share of all, rounded up as transformers does."""
    return int(value) if value >= 1 else math.ceil(total * value)


def read_targets(value: Any) -> Any:
    """Return ``lora_target_modules`` as PEFT takes it: ``all-linear``, a list of names, or a regular expression.

    Other trainers read ``q_proj,v_proj`` as two names; PEFT takes any text for a regular expression of whole paths, and
    a bare name would be the path of no layer.

    Raises:
        ValueError: If it is no text and no list of names, or an expression that Python cannot read.
    """
    if isinstance(value, (list, tuple)) and all(isinstance(name, str) and name.strip() for name in value):
        names = [str(name).strip() for name in value]
        return ALL_LINEAR if names in ([ALL_LINEAR], ["all"]) else names
    if not isinstance(value, str) or not value.strip():
        raise ValueError("give all-linear, names of layers, or a regular expression")
    text = value.strip()
    if text in (ALL_LINEAR, "all"):
        return ALL_LINEAR
    if NAMES.fullmatch(text):
        return [name for name in re.split(r"[\s,]+", text) if name]
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as err:
        raise ValueError(f"a regular expression that cannot be read: {err}") from err
    return text
