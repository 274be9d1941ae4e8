"""How training stands on the machine of a held run, read with what the guard has in memory."""

from __future__ import annotations

from runner.adapters.ssh_login import Way
from runner.adapters.supervisor import read_status
from runner.adapters.tools import tools_of
from runner.guard.words import Held
from runner.run.models import Box, TrainerState
from runner.world import World


def trainer_state(world: World, held: Held) -> TrainerState:
    """Log in, ask the supervisor, and go. The key is in a file for that long only, in memory where there is a way.

    Raises:
        RunnerError: If the machine does not answer, or not as a supervisor does.
    """
    with world.scratch("douse-guard-", in_memory=True) as folder:
        key, known_hosts = folder / "key", folder / "known_hosts"
        key.write_text(held.login_key, encoding="ascii")
        known_hosts.write_text(held.known_hosts, encoding="utf-8")
        machine = tools_of(world).log_in(world, held.host, known_hosts, Way(str(key)))
        try:
            return read_status(machine, Box(held.prefix or "")).state
        finally:
            machine.close()
