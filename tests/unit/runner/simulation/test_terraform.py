"""The stand-in for Terraform does what the real one was seen to do: empty states, lost states, plans of nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from runner.simulation import terraform
from runner.simulation.process import KILLED, Process
from runner.simulation.programs import TerraformChild
from runner.simulation.stage import Stage
from runner.simulation.terraform import STATE_FILE, VARIABLES_FILE
from tests.unit.runner.simulation.lived import FAIR

CANDIDATE = {
    "instance_type": "gpu_1x_a10",
    "region": "us-east-1",
    "spot": False,
    "max_price_usd_per_h": 1.0,
    "trust": "secure",
    "expires_at": "2026-01-02T00:00:00Z",
}
INPUTS: dict[str, Any] = {
    "run_id": "20260101-000000-one-a1b2",
    "candidates": [CANDIDATE],
    "ssh_public_key": "ssh-ed25519 AAAA",
    "labels": {},
    "expires_at": "2026-01-02T00:00:00Z",
    "create_timeout_s": 1500,
    "delete_timeout_s": 600,
    "lambda_first_lease_s": 3000,
    "lambda_host_key": "ssh-ed25519 BBBB",
    "lambda_user_data": "#cloud-config\n",
}
SETTINGS = {"address_s": 5.0, "active_s": 10.0, "end_s": 5.0, "shown_s": 30.0, "pace_s": 1.0}
KEY, MACHINE = "douse_lambda_ssh_key", "douse_lambda_instance"


class Scene:
    """A working copy on a computer of its own, beside the process that waits for its commands."""

    def __init__(self, folder: Path) -> None:
        self.stage = Stage("lambda", 1, folder, FAIR, {"lambda": SETTINGS})
        self.folder = folder / "terraform"
        self.folder.mkdir()
        (self.folder / VARIABLES_FILE).write_text(json.dumps(INPUTS))
        self.user = Process(self.stage.laptop, {}, name="user")
        self.stage.turns.adopt("user", self.user)

    def start(self, *words: str) -> TerraformChild:
        return self.stage.start_terraform(list(words), self.folder, self.stage.environ(self.stage.account))

    def run(self, *words: str) -> TerraformChild:
        child = self.start(*words)
        self.user.wait_for(lambda: child.exit_status is not None, 5000.0)
        return child

    def wait_for_machine(self) -> None:
        self.user.wait_for(lambda: bool(self.stage.state.machines), 500.0)

    @property
    def state(self) -> list[str] | None:
        path = self.folder / STATE_FILE
        if not path.exists():
            return None
        content = path.read_bytes()
        return [one["type"] for one in json.loads(content)["resources"]] if content else []

    @property
    def billing(self) -> int:
        return sum(machine.meter.is_billing for machine in self.stage.state.machines.values())


@contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    made = Scene(folder)
    try:
        yield made
    finally:
        made.stage.turns.close()


def test_what_is_applied_is_in_the_state_and_goes_by_destroy(tmp_path: Path) -> None:
    with scene(tmp_path) as one:
        assert one.run("plan").exit_status == 2
        assert (one.run("apply").exit_status, one.state, one.billing) == (0, [KEY, MACHINE], 1)
        assert one.run("plan").exit_status == 0
        assert one.run("state", "list").terraform.lines == [f"{KEY}.this", f"{MACHINE}.this"]
        host = json.loads(one.run("output").terraform.lines[0])["host"]["value"]
        assert host["instance_id"] in one.stage.state.machines
        assert (one.run("destroy").exit_status, one.state) == (0, [])
        one.user.sleep(SETTINGS["end_s"])
        with one.stage.state.turn():
            assert one.billing == 0


def test_the_state_is_empty_until_the_first_resource_is_finished(tmp_path: Path) -> None:
    with scene(tmp_path) as one:
        one.start("apply")
        one.user.sleep(2.1)
        assert one.state == []
        assert (one.folder / STATE_FILE).read_bytes() == b""


def test_what_is_being_created_when_it_is_killed_is_in_no_state(tmp_path: Path) -> None:
    with scene(tmp_path) as one:
        child = one.start("apply")
        one.wait_for_machine()
        child.kill()
        one.user.sleep(600.0)
        assert (child.exit_status, one.state, one.billing) == (KILLED, [], 1)


def test_a_provider_whose_terraform_was_killed_terminates_what_reaches_no_state(tmp_path: Path) -> None:
    with scene(tmp_path) as one:
        child = one.start("apply")
        one.wait_for_machine()
        child.kill_alone(KILLED)
        one.user.sleep(600.0)
        with one.stage.state.turn():
            assert (child.exit_status, one.state, one.billing) == (KILLED, [], 0)


def test_what_was_finished_long_before_is_in_the_state_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terraform, "PERSIST_S", 0.5)
    with scene(tmp_path) as one:
        child = one.start("apply")
        one.wait_for_machine()
        child.kill()
        assert one.state == [KEY]


def test_a_state_in_which_there_is_nothing_is_no_list(tmp_path: Path) -> None:
    with scene(tmp_path) as one:
        (one.folder / STATE_FILE).write_bytes(b"")
        assert one.run("state", "list").exit_status == 1


def test_one_that_is_asked_to_stop_keeps_what_it_has_made_as_tainted(tmp_path: Path) -> None:
    with scene(tmp_path) as one:
        child = one.start("apply")
        one.wait_for_machine()
        one.user.sleep(2.0)
        child.terraform.stop.set()
        one.user.wait_for(lambda: child.exit_status is not None, 600.0)
        content = json.loads((one.folder / STATE_FILE).read_bytes())
        machine = next(found for found in content["resources"] if found["type"] == MACHINE)
        assert (child.exit_status, machine["instances"][0]["status"]) == (1, "tainted")
        assert "interrupted" in child.terraform.lines[-1]


def test_a_refusal_is_a_diagnostic_and_exit_status_1(tmp_path: Path) -> None:
    with scene(tmp_path) as one:
        one.stage.state.faults.add("no_capacity", arguments={"candidates": "all"})
        child = one.run("apply")
        said = json.loads(child.terraform.lines[-1])["diagnostic"]
        assert (child.exit_status, said["severity"], one.billing) == (1, "error", 0)


def test_destroy_of_nothing_asks_nobody(tmp_path: Path) -> None:
    with scene(tmp_path) as one:
        assert one.run("destroy").exit_status == 0
        assert not one.stage.history[:-1]


@pytest.mark.parametrize("verb", ["apply", "destroy"])
def test_a_command_that_is_killed_writes_no_state_any_more(tmp_path: Path, verb: str) -> None:
    with scene(tmp_path) as one:
        if verb == "destroy":
            one.run("apply")
        child = one.start(verb)
        one.user.sleep(2.5)
        child.kill()
        before = one.state
        one.user.sleep(900.0)
        assert one.state == before
