"""The machines behind the emulated clouds: who can reach them, and what their lease does when nobody renews it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.machine import Allowance
from runner.errors import ConnectionLostError
from runner.run.models import Host
from runner.simulation.boxes import OPEN_S, Fate, SimulatedBox, SimulatedYard
from runner.simulation.login import GIVE_UP_S, SimulatedLogin
from runner.simulation.network import Network
from runner.simulation.trainer import Course
from runner.simulation.world import VirtualWorld
from tests.unit.runner.simulation.lived import FAIR

BOOT_S = 60.0
OUTPUT = "/home/user/.douse/runs/one/output"
SETTINGS = {"ttl_s": 900.0, "hard_end_s": 7200.0, "idle_s": 600.0}


class Scene:
    """A box, and the way onto it."""

    def __init__(self, world: VirtualWorld) -> None:
        self.world, self.noted = world, list[str]()
        fate = Fate(BOOT_S, Course(steps=200, step_s=10.0, save_every=4))
        self.yard = SimulatedYard(world.computer.turns, random.Random(1), lambda: fate, self.noted.append)
        address = self.yard.boot("b1", kind="vm", user="ubuntu", public_keys=[])
        self.network = Network({}, lambda: 0.0, random.Random(1), FAIR)
        host = Host(address.host, address.port, "ubuntu", "i1", "gpu", "here", False, 1.0, None, "lambda")
        self.login = SimulatedLogin(world, host, self.yard, self.network)

    @property
    def box(self) -> SimulatedBox:
        return self.yard.boxes["b1"]

    def begin_lease(self, **changed: Any) -> list[str]:
        ended: list[str] = []
        self.box.begin_lease(SETTINGS | changed, ended.append)
        return ended


@contextmanager
def scene(*, is_up: bool = True) -> Iterator[Scene]:
    with VirtualWorld() as world:
        made = Scene(world)
        if is_up:
            world.sleep(BOOT_S)
        yield made


def test_a_box_answers_once_it_has_booted_and_until_it_is_gone() -> None:
    with scene(is_up=False) as one:
        address = (one.box.address.host, one.box.address.port)
        with pytest.raises(ConnectionRefusedError):
            one.yard.connect(*address)
        one.world.sleep(BOOT_S)
        assert one.yard.connect(*address).recv(4) == b"SSH-"
        one.yard.kill("b1")
        with pytest.raises(ConnectionRefusedError):
            one.yard.connect(*address)


def test_the_port_of_a_box_is_open_a_little_before_its_sshd_answers() -> None:
    with scene(is_up=False) as one:
        one.world.sleep(BOOT_S - OPEN_S)
        assert one.yard.connect(one.box.address.host, one.box.address.port).recv(4) == b""
        one.world.sleep(OPEN_S)
        assert one.yard.connect(one.box.address.host, one.box.address.port).recv(4) == b"SSH-"


@pytest.mark.parametrize("trouble", ["booting", "gone", "cut off", "network"])
def test_a_box_that_cannot_be_reached_is_a_lost_connection(trouble: str) -> None:
    with scene(is_up=trouble != "booting") as one:
        if trouble == "gone":
            one.yard.kill("b1")
        elif trouble == "cut off":
            one.yard.partition("b1", True)
        elif trouble == "network":
            one.network.cut_until_s = 1e6
        before_s = one.world.monotonic_s()

        with pytest.raises(ConnectionLostError):
            one.login.names("/")

        assert one.world.monotonic_s() - before_s > GIVE_UP_S


def test_a_box_that_is_gone_by_now_is_not_found_because_nobody_has_looked() -> None:
    with scene() as one:
        one.yard.catch_up = lambda: one.yard.kill("b1")

        with pytest.raises(ConnectionRefusedError):
            one.yard.connect(one.box.address.host, one.box.address.port)
    with scene() as one:
        one.yard.catch_up = lambda: one.yard.kill("b1")

        with pytest.raises(ConnectionLostError):
            one.login.names("/")


def test_files_go_there_and_come_back(tmp_path: Path) -> None:
    source = tmp_path / "data"
    source.mkdir()
    (source / "one").write_bytes(b"1")
    with scene() as one:
        one.login.put(source, "/input")
        assert (one.login.names("/input"), one.login.exists("/input/one"), one.login.exists("/none")) == (
            ["one"],
            True,
            False,
        )
        one.login.get("/input", tmp_path / "back", Allowance(100))
        assert (tmp_path / "back" / "one").read_bytes() == b"1"
        one.login.remove_tree("/input")
        assert not one.login.exists("/input/one")


def test_training_is_seen_while_it_goes_on() -> None:
    with scene() as one:
        one.box.train(OUTPUT, is_resumed=False, limit_s=None)
        one.world.sleep(100.0)
        events = one.login.read_from(f"{OUTPUT}/events.jsonl", 0)
        assert events.count(b'"step"') > 5
        assert one.login.read_from(f"{OUTPUT}/events.jsonl", len(events) - 1) == b"\n"
        assert one.login.read_from(f"{OUTPUT}/exit.json", 0) == b""


def test_a_second_try_goes_on_from_the_newest_checkpoint_and_keeps_the_story() -> None:
    with scene() as one:
        one.box.train(OUTPUT, is_resumed=False, limit_s=None)
        one.world.sleep(100.0)
        one.box.stop_trainer()
        one.world.sleep(10.0)
        before = one.box.read(f"{OUTPUT}/events.jsonl")
        one.box.train(OUTPUT, is_resumed=True, limit_s=None)

        assert one.box.trainer is not None
        assert one.box.trainer.resumed == 8
        assert one.box.read(f"{OUTPUT}/events.jsonl").startswith(before)


def test_a_lease_that_nobody_renews_stops_the_trainer_and_the_box() -> None:
    with scene() as one:
        one.box.train(OUTPUT, is_resumed=False, limit_s=None)
        ended = one.begin_lease()
        one.world.sleep(890.0)
        assert (ended, one.box.is_training) == ([], True)
        one.world.sleep(60.0)
        assert (ended, one.box.is_training) == (["not_renewed"], False)


def test_a_word_renews_it_up_to_the_hard_end() -> None:
    with scene() as one:
        ended = one.begin_lease()
        for _ in range(20):
            one.world.sleep(600.0)
            one.login.run(["sh", "/prefix/lease/say", f"renew {one.world.monotonic_s()}"], timeout_s=30.0)
            if ended:
                break
        assert ended == ["hard_end"]
        assert 7200.0 <= one.world.monotonic_s() - BOOT_S < 8000.0


def test_a_box_that_is_held_goes_once_it_has_been_idle() -> None:
    with scene() as one:
        one.box.train(OUTPUT, is_resumed=False, limit_s=None)
        ended = one.begin_lease()
        one.login.run(["sh", "/prefix/lease/say", "hold 1"], timeout_s=30.0)
        one.world.sleep(1900.0)
        assert ended == []
        one.world.sleep(200.0 + 700.0)
        assert ended == ["idle"]


def test_a_box_without_a_lease_has_no_program_to_say_a_word_to() -> None:
    with scene() as one:
        assert one.login.run(["sh", "/prefix/lease/say", "renew 1"], timeout_s=30.0).exit_code == 127
