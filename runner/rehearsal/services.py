"""The emulated clouds that there are, found by the clouds' own folders."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache

from runner.emulation.fault_table import CloudFaults
from runner.emulation.service import EmulatedCloud

PACKAGES = ("lambda_cloud", "runpod", "aws")
"""Folders of ``runner/clouds`` that hold an emulator, in the order of tables and lists."""
REAL_CREDENTIALS = ("LAMBDA_", "RUNPOD_", "AWS_", "DOUSE_LAMBDA_ENDPOINT", "DOUSE_RUNPOD", "DOUSE_AWS")
"""How variables begin that may lead to a real account: none of them reaches a rehearsal."""


@cache
def emulated_clouds() -> Mapping[str, EmulatedCloud]:
    """Return every emulated cloud by its name; what is only installed for rehearsals is not imported yet."""
    modules = (importlib.import_module(f"runner.clouds.{package}.emulator.service") for package in PACKAGES)
    return {module.EMULATED.name: module.EMULATED for module in modules}


def known_faults() -> Mapping[str, CloudFaults]:
    """Return what each cloud says of the faults."""
    return {name: cloud.faults for name, cloud in emulated_clouds().items()}
