"""All families whose layers are known.

Source: the ``modeling_*`` files of transformers 5.23. ``benchmarks/model_families.py`` builds all of them and compares.
"""

from __future__ import annotations

from collections.abc import Mapping

from runner.planning.estimate.families.early import EARLY
from runner.planning.estimate.families.layers import Build
from runner.planning.estimate.families.recent import RECENT
from runner.planning.estimate.families.sighted import SIGHTED

FAMILIES: Mapping[str, Build] = {**EARLY, **RECENT, **SIGHTED}
"""By ``model_type``: the function that returns the layers."""
