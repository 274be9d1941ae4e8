"""The simulated lives' Terraform on AWS, held to the real one with hashicorp/aws: what the product sees is the same.

Both are driven by the product's own adapter on our root module: the real programs on the emulated AWS of a rehearsal,
the stand-ins on the account in memory.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from moto.moto_api._internal.models import moto_api_backend
from werkzeug.serving import make_server

from runner.adapters.terraform import STATE_FILE, VARIABLES_FILE
from runner.clouds.aws.refusals import error_from_terraform
from runner.errors import TerraformError
from tests.contract.aws_terraform_benches import SETTINGS, Bench, RealBench, SimulatedBench, WatchedLab
from tests.contract.terraform_words import said_of
from tests.unit.runner.clouds.aws.emulator.test_app import Quiet
from tests.unit.runner.emulation.emulated import NO_PACE
from tests.unit.runner.provider.conftest import terraform

__all__ = ["terraform"]

TRIES = 3
pytestmark = [pytest.mark.enable_socket, pytest.mark.slow]


def refused(bench: Bench, act: Callable[[], object]) -> object:
    """Return what our client makes of Terraform's words for a failure."""
    try:
        return act()
    except TerraformError as err:
        cause = error_from_terraform(err.details or err.message)
        return None if cause is None else (type(cause).__name__, cause.code)


def planned(bench: Bench) -> Bench:
    """Return it with a plan."""
    assert bench.tool().make_plan()
    return bench


def names(bench: Bench) -> list[str]:
    """Return what Terraform's state knows, without data sources."""
    if not (bench.folder / STATE_FILE).exists() or not (bench.folder / STATE_FILE).read_bytes():
        return []
    return sorted(one for one in bench.tool().resources() if not one.startswith("data."))


def left(bench: Bench) -> list[object]:
    """Return what the state knows, what of it is tainted, and how many machines bill."""
    return [names(bench), tainted(bench), bench.billing()]


def tainted(bench: Bench) -> list[str]:
    if not (bench.folder / STATE_FILE).exists() or not (bench.folder / STATE_FILE).read_bytes():
        return []
    state = json.loads((bench.folder / STATE_FILE).read_bytes())
    return [one["type"] for one in state["resources"] if one["instances"] and "status" in one["instances"][0]]


def a_life_in_order(bench: Bench) -> Iterator[object]:
    """Plan, apply, plan again, read, destroy."""
    yield bench.tool().make_plan()
    yield seen_alike(bench, bench.tool().apply_plan)
    yield bench.marks()
    yield bench.tool().make_plan()
    host = bench.tool().outputs()["host"]
    yield {name: value for name, value in host.items() if name not in ("address", "instance_id")}
    yield seen_alike(bench, bench.tool().destroy)
    yield bench.changes()


def no_capacity(bench: Bench) -> Iterator[object]:
    """Ask for a machine that cannot be had, then destroy."""
    bench.fault("no_capacity")
    yield refused(bench, planned(bench).tool().apply_plan)
    yield left(bench)
    yield seen_alike(bench, bench.tool().destroy)


def a_launch_that_fails(bench: Bench) -> Iterator[object]:
    """Ask for a machine, which is made, and get an error for it each time."""
    bench.fault("launch_500_after_create")
    yield refused(bench, planned(bench).tool().apply_plan)
    yield left(bench)[0]


def a_lost_state(bench: Bench) -> Iterator[object]:
    """Plan and apply anew beside a machine of which the state knows nothing any more."""
    planned(bench).tool().apply_plan()
    (bench.folder / STATE_FILE).unlink()
    cause = refused(bench, planned(bench).tool().apply_plan)
    assert isinstance(cause, tuple)
    yield (
        cause[0],
        "aws_instance.this" in names(bench),
        bench.billing(),
    )  # which of two names is refused first is chance


def a_machine_that_is_gone_while_it_boots(bench: Bench) -> Iterator[object]:
    """Let a machine end while Terraform waits for it."""
    bench.fault("boot_never_active")

    def end() -> bool:
        with bench.state.turn():
            for machine in bench.state.machines.values():
                if not machine.is_ended:
                    bench.state.end(machine, "shut itself down", after_s=0.0)
        return False

    yield refused(bench, planned(bench).tool(end).apply_plan)
    yield left(bench)


def a_launch_that_is_stopped(bench: Bench) -> Iterator[object]:
    """Ask Terraform to stop before AWS has answered: the request is given up, and the machine is in no state."""
    bench.hold_the_launch()
    yield seen_alike(planned(bench), bench.tool(lambda: bench.billing() > 0).apply_plan)


def a_boot_that_is_stopped(bench: Bench) -> Iterator[object]:
    """Ask Terraform to stop while it waits for the machine."""
    bench.fault("boot_never_active")
    yield seen_alike(planned(bench), bench.tool(lambda: "DescribeInstances" in bench.asked()).apply_plan)


def a_terraform_that_is_killed(bench: Bench) -> Iterator[object]:
    """Kill Terraform while it waits for the machine: its state knows of no machine, which bills on."""
    bench.fault("boot_never_active")

    def kill() -> bool:
        if "DescribeInstances" in bench.asked():
            bench.kill()
        return False

    found = seen_alike(planned(bench), bench.tool(kill).apply_plan)
    yield found["said"] is not None, "aws_instance.this" in names(bench), tainted(bench), bench.billing()


def an_end_that_is_refused(bench: Bench) -> Iterator[object]:
    """Destroy while the cloud refuses the key."""
    planned(bench).tool().apply_plan()
    bench.fault("key_invalid", at="any", when="machine")
    yield refused(bench, bench.tool().destroy)
    yield left(bench)


def inputs_that_are_damaged(bench: Bench) -> Iterator[object]:
    """Destroy with a file of variables that is cut, that holds something else, and that is lost."""
    planned(bench).tool().apply_plan()
    inputs = bench.folder / VARIABLES_FILE
    for content in (inputs.read_bytes()[:60], b'{"word": "odd", "compute": []}\n'):
        inputs.write_bytes(content)
        yield seen_alike(bench, bench.tool().destroy)
    inputs.unlink()
    yield seen_alike(bench, bench.tool().destroy)


def seen_alike(bench: Bench, act: Callable[[], object]) -> dict[str, Any]:
    """Return what the product sees of an act, and of what is there after it."""
    return {"said": said_of(act), "left": left(bench)}


MODES = (
    a_life_in_order,
    no_capacity,
    a_launch_that_fails,
    a_lost_state,
    a_machine_that_is_gone_while_it_boots,
    a_launch_that_is_stopped,
    a_boot_that_is_stopped,
    a_terraform_that_is_killed,
    an_end_that_is_refused,
    inputs_that_are_damaged,
)


@contextmanager
def real_bench(folder: Path, terraform: str) -> Iterator[tuple[RealBench, WatchedLab]]:
    moto_api_backend.reset()
    lab = WatchedLab(settings={**NO_PACE, **{f"aws.{name}": str(value) for name, value in SETTINGS.items()}})
    server = make_server("127.0.0.1", 0, lab.serve, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    lab.endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        yield RealBench(folder, terraform, lab), lab
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def simulated(tmp_path: Path) -> Iterator[SimulatedBench]:
    folder = tmp_path / "simulated"
    folder.mkdir()
    bench = SimulatedBench(folder)
    yield bench
    bench.close()


def seen_of_the_real(mode: Callable[[Bench], Iterator[object]], folder: Path, terraform: str) -> list[object]:
    """Return what the product sees of the real one.

    On a busy machine a connection over loopback breaks now and then. The provider repeats what it asked for, and what
    was made already is refused then: that is another mode of failing, so the look is taken again.
    """
    for attempt in range(TRIES):
        (place := folder / f"real-{attempt}").mkdir()
        with real_bench(place / "copy", terraform) as (real, lab):
            seen = list(mode(real))
        if not lab.has_lost:
            break
    return seen


@pytest.mark.parametrize("mode", MODES)
def test_the_product_sees_the_same(
    mode: Callable[[Bench], Iterator[object]], tmp_path: Path, terraform: str, simulated: SimulatedBench
) -> None:
    assert list(mode(simulated)) == seen_of_the_real(mode, tmp_path, terraform)
