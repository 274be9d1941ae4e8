"""Which programs a process starts and whom it logs in to: this computer's own, unless its world has others."""

from __future__ import annotations

from pathlib import Path

from runner.adapters import packages, process
from runner.adapters.ssh import SshMachine
from runner.adapters.ssh_login import Way
from runner.adapters.tools import Tools, tools_of
from runner.run.models import Host
from runner.world import RealWorld

HOST = Host("192.0.2.1", 22, "user", "i1", "gpu", "here", False, 1.0, None, "lambda")


def test_a_world_has_this_computers_own(tmp_path: Path) -> None:
    world = RealWorld({})

    tools = tools_of(world)

    assert tools is tools_of(world)
    assert (tools.run, tools.start_apart) == (process.run, process.start_apart)
    assert tools.has("pages") == packages.has("pages")
    assert isinstance(tools.log_in(world, HOST, tmp_path / "known_hosts", Way()), SshMachine)


def test_a_world_may_be_made_with_others() -> None:
    class Others(Tools):
        """No program at all."""

    world = RealWorld({})
    others = world.shared(Tools, Others)

    assert tools_of(world) is others
