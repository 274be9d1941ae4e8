"""A person's own way onto a run's machine: a shell, and TensorBoard through a tunnel."""

from __future__ import annotations

from runner.context import Context
from runner.errors import UsageError
from runner.lifecycle.steps.configure import TENSORBOARD_PORT
from runner.run.models import Host


def ssh_argv(ctx: Context, host: Host) -> list[str]:
    """Return the command that logs in to the machine with the run's own key, its pinned host key and nothing else.

    Of the user's own configuration only what the run's file holds counts (``runner/adapters/ssh_config.py``).

    Raises:
        UsageError: If the run is on this machine.
    """
    if host.is_this_machine:
        raise UsageError(
            "ssh: the run is on this machine; there is nothing to log in to", resolution=f"look in {ctx.run.path}"
        )
    argv = ["ssh", "-F", str(ctx.ssh_config), "-p", str(host.port), "-o", f'UserKnownHostsFile="{ctx.run.known_hosts}"']
    argv += ["-o", "GlobalKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=yes"]
    if ctx.identity_file is not None:
        argv += ["-i", ctx.identity_file, "-o", "IdentitiesOnly=yes"]
    return [*argv, f"{host.user}@{host.address}"]


def tensorboard_argv(ctx: Context, host: Host) -> tuple[list[str], str]:
    """Return the command that makes TensorBoard visible here, and the address to open.

    Raises:
        UsageError: If the run keeps no TensorBoard logs, or its machine has no environment any more.
    """
    if not ctx.run_file.monitoring.tensorboard:
        raise UsageError(
            "tensorboard: monitoring.tensorboard is false, so there is nothing to see",
            resolution="start a run with SET=monitoring.tensorboard=true",
        )
    port = ctx.world.free_port()
    address = f"http://127.0.0.1:{port}/"
    if not host.is_this_machine:
        tunnel = ["-N", "-o", "ExitOnForwardFailure=yes", "-L", f"127.0.0.1:{port}:127.0.0.1:{TENSORBOARD_PORT}"]
        ssh, *rest = ssh_argv(ctx, host)
        return [ssh, *tunnel, *rest], address
    machine = ctx.machine(host)
    box = ctx.box(host, machine)
    logs = f"{box.output}/tensorboard"
    return [box.python, "-m", "tensorboard.main", "--logdir", logs, "--host", "127.0.0.1", "--port", str(port)], address
