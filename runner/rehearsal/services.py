"""The emulated clouds that there are, found by the clouds' own folders."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache

from runner.clouds.registry import CLOUDS
from runner.emulation.fault_table import CloudFaults
from runner.emulation.service import EmulatedCloud

BOXES = "boxes"
"""Folder of the boxes in that of their rehearsal."""


@cache
def emulated_clouds() -> Mapping[str, EmulatedCloud]:
    """Return every emulated cloud by its name; what is only installed for rehearsals is not imported yet."""
    modules = (importlib.import_module(f"{record.package}.emulator.service") for record in CLOUDS.values())
    return {module.EMULATED.name: module.EMULATED for module in modules}


def account_of_stores() -> str:
    """Return the cloud whose account gives out the keys of an emulated store."""
    return next(name for name, cloud in emulated_clouds().items() if cloud.keeps_stores)


def simulated_clouds() -> list[str]:
    """Return the clouds on which lives are simulated."""
    return [name for name, cloud in emulated_clouds().items() if cloud.module is not None]


def clouds_to_go_on() -> list[str]:
    """Return the clouds on which the run of a simulated life may go on when its machine is lost.

    One that was simulated later is not among them: it would change what the seeds of all others draw.
    """
    return [name for name in simulated_clouds() if emulated_clouds()[name].on_paper is None]


def known_faults() -> Mapping[str, CloudFaults]:
    """Return the faults that each cloud supports."""
    return {name: cloud.faults for name, cloud in emulated_clouds().items()}
