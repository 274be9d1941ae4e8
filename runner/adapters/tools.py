"""The programs of this computer and the way onto other machines, as a world has them: simulated lives have others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runner.adapters import ansible, packages, process
from runner.adapters.machine import Machine
from runner.adapters.process import Cancel
from runner.run.models import Host
from runner.world import World

if TYPE_CHECKING:
    from runner.adapters.ssh_login import Way


class Tools:
    """What a process starts, and whom it logs in to."""

    run = staticmethod(process.run)
    start_apart = staticmethod(process.start_apart)
    run_playbook = staticmethod(ansible.run_playbook)

    def has(self, extra: str) -> bool:
        """Return whether an extra can be imported."""
        return packages.has(extra)

    def log_in(
        self, world: World, host: Host, known_hosts: Path, way: Way, *, is_urgent: Cancel = lambda: False
    ) -> Machine:
        """Return a way onto a machine behind SSH; see ``SshMachine``."""
        from runner.adapters.ssh import SshMachine

        return SshMachine(world, host, known_hosts, way, is_urgent=is_urgent)


def tools_of(world: World) -> Tools:
    """Return the tools of a world's process: this computer's own, unless the world was made with others."""
    return world.shared(Tools, Tools)
