"""The real command line with three seams: no data check, no Ansible, the stand-in trainer.

``python -m tests.unit.runner.lab.drive VERB …`` is what the tests start, kill and interrupt. With ``DOUSE_LAB_ROLES``
Ansible is real, and the roles that it names are carried out. On a machine that brings its checkpoints to a store, and
with ``DOUSE_LAB_SUPERVISOR`` on any that is rented, the stand-in trains alone: supervisor and outbox are the product's
(``product.py``). ``DOUSE_LAB_PATIENCE_S`` is how long the runner tries to reach a machine again.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runner.adapters.rclone import rclone_program
from runner.adapters.stop import Stop
from runner.cli import parser as cli
from runner.clouds.environments import find_environment
from runner.context import Context
from runner.lifecycle.play import play
from runner.lifecycle.steps import configure, plan, train
from runner.planning.checks.reading import check_environment
from runner.planning.choose import choose
from runner.planning.ends import Means, Used
from runner.run.models import Host, View
from runner.run.planned import Plan
from runner.run.run_file import RunFile
from runner.store import arming
from runner.store.credentials import is_given_remote
from runner.world import World
from tests.unit.runner.lab.product import bring_product

FAKE = Path(__file__).parent / "fake"
OWN_SUPERVISOR = bool(os.environ.get("DOUSE_LAB_SUPERVISOR"))
ROLES = list(filter(None, os.environ.get("DOUSE_LAB_ROLES", "").split(",")))


def check(
    run_file: RunFile,
    runs_dir: Path,
    view: View,
    stop: Stop,
    world: World,
    *,
    is_dry: bool = False,
    known_hosts: Path | None = None,
    used: Used | None = None,
) -> Plan:
    check_environment(run_file)
    market = plan._market_call(run_file, is_dry, world)
    machines = (plan._given_machine(run_file),)
    if market is not None:
        found = market.get()
        plan._show_what_is_there(found, view)
        means = Means(run_file.budget, used or Used())
        machines = choose(run_file, found.offers, None, disk_needed_gib=0.1, means=means).machines
    return Plan(
        environment=run_file.compute.env,
        base_model="fake",
        model_files=None,
        model_bytes=0,
        train_samples=2,
        eval_samples=1,
        data={},
        disk_needed_gib=0.1,
        terraform=shutil.which("terraform") or "terraform",
        machines=machines,
        ssh_ingress_cidrs=tuple(plan._ingress(run_file, world)),
    )


def prepare(ctx: Context, host: Host) -> dict[str, Any]:
    """Put an interpreter that runs the stand-in where the environment would be; carry out what roles are asked for."""
    machine = ctx.machine(host)
    box = ctx.box(host, machine)
    if ROLES:
        inventory = configure.make_inventory(ctx, host, box, configure.find_python(machine, any_will_do=True))
        play(ctx, "prepare.yml", inventory, configure.role_variables(ctx, host, box, machine), ROLES)
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "python"
        rented = find_environment(ctx.run_file.compute.env).rents_machine
        fake, python = (f"{box.prefix}/fake", "python3") if rented else (str(FAKE), sys.executable)
        if arming.is_armed(ctx.run_file) or (rented and OWN_SUPERVISOR):
            bring_product(machine, fake, stalls_soon=OWN_SUPERVISOR)
        elif rented:
            machine.put(FAKE / "trainer" / "__main__.py", f"{fake}/trainer/__main__.py")
        if is_given_remote(ctx.run_file):
            machine.put(Path(rclone_program(ctx.world) or ""), f"{box.prefix}/{arming.PROGRAM_THERE}")
        script.write_text(f'#!/bin/sh\nPYTHONPATH="{fake}" exec "{python}" "$@"\n')
        script.chmod(0o755)
        machine.put(script, box.python)
    machine.close()
    return {}


def main(argv: Sequence[str] | None = None, world: World | None = None) -> int:
    plan.check = check
    configure.configure = prepare
    train.STATUS_EVERY_S = 1.0
    train.POLL_S = train.LONGEST_POLL_S = 0.05
    train.RETRY_S = (0.1,)
    arming.LOOK_S = 1.0
    train.PATIENCE_S = float(os.environ.get("DOUSE_LAB_PATIENCE_S", train.PATIENCE_S))
    return cli.main(argv, world)


if __name__ == "__main__":
    sys.exit(main())
