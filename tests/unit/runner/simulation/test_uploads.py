"""How a simulated machine brings its work to the store: by the product's outbox, at the end of its lease, by `sync`."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from runner.errors import PlaybookFailedError
from runner.simulation.boxes import Fate, SimulatedBox, SimulatedYard
from runner.simulation.store import DENIED, DOWN
from runner.simulation.store_seams import USERS_KEYS, uploads_of
from runner.simulation.trainer import Course, checkpoint_files
from runner.simulation.uploads import SYNC, play_sync
from tests.unit.runner.simulation.test_store import RUN, WEIGHTS, Shop, shop
from trainer.checkpoints.complete import MANIFEST_NAME, newest_complete
from trainer.files import parse_object


class Yard:
    """A machine that trains, with a store."""

    def __init__(self, one: Shop, folder: Path) -> None:
        fate = Fate(0.0, Course(20, 40.0, 4, kept=3), uploads=uploads_of(one.store, folder))
        turns = one.world.computer.turns
        self.yard = SimulatedYard(turns, random.Random(1), lambda: fate, one.noted.append)
        self.yard.boot("b1", kind="vm", user="user", public_keys=[])
        self.box: SimulatedBox = self.yard.boxes["b1"]
        self.output = "/home/user/.douse/one/output"
        order = b'{"folder": "%s", "url": "%s", "endpoint_url": null, "environment_file": "/keys"}'
        self.box.files["/home/user/.douse/one/lease/upload.json"] = order % (self.output.encode(), RUN.encode())
        self.box.files["/keys"] = str(USERS_KEYS).replace("'", '"').encode()

    def train(self) -> None:
        self.box.train(self.output, is_resumed=False, limit_s=None)
        assert self.box.uploads is not None
        self.box.uploads.begin("/home/user/.douse/one/lease/upload.json", self.output)


def steps(one: Shop) -> list[int]:
    return sorted(int(key.split("checkpoint-")[1].split("/")[0]) for key in one.store.objects if MANIFEST_NAME in key)


def test_checkpoints_go_there_as_they_are_saved_and_older_ones_are_forgotten(tmp_path: Path) -> None:
    with shop() as one:
        yard = Yard(one, tmp_path)
        yard.train()
        seen = []
        one.world.sleep(60.0)
        for _ in range(6):
            one.world.sleep(160.0)
            seen.append(steps(one))

        assert seen == [[4], [4, 8], [4, 8, 12], [8, 12, 16], [12, 16, 20], [12, 16, 20]]
        events = [parse_object(line)["event"] for line in yard.box.read(f"{yard.output}/events.jsonl").splitlines()]
        assert events.count("checkpoint_stored") == 5
        assert one.store.objects["runs/20260101-000000-one/events.jsonl"].content.count(b"\n") > 20


def test_a_machine_that_vanishes_leaves_what_it_has_sent(tmp_path: Path) -> None:
    with shop() as one:
        one.store.big_s = 20.0
        yard = Yard(one, tmp_path)
        yard.train()
        one.world.sleep(20.0 + 160.0 + 30.0)
        yard.yard.kill("b1")
        one.world.sleep(1000.0)

        assert steps(one) == []
        assert any(WEIGHTS in key for key in one.store.objects)
        assert [line for line in one.noted if "checkpoint_stored" in line] == []


def test_what_fails_is_sent_again_and_said(tmp_path: Path) -> None:
    with shop() as one:
        yard = Yard(one, tmp_path)
        yard.train()
        one.world.sleep(100.0)
        one.be(DOWN, 200.0)
        one.world.sleep(200.0)
        assert steps(one) == []
        one.world.sleep(60.0)

        assert 4 in steps(one)
        assert b"store_failed" in yard.box.read(f"{yard.output}/events.jsonl")


def test_at_the_end_of_its_lease_everything_goes_there(tmp_path: Path) -> None:
    with shop() as one:
        yard = Yard(one, tmp_path)
        ended: list[str] = []
        yard.box.begin_lease({"ttl_s": 300.0, "hard_end_s": 7200.0, "idle_s": 600.0}, ended.append)
        yard.box.train(yard.output, is_resumed=False, limit_s=None)  # nothing sends what it saves
        one.world.sleep(400.0)

        assert ended != []
        assert steps(one) == [4, 7]


def test_a_machine_syncs_as_it_is_asked_and_says_what_the_store_says(tmp_path: Path) -> None:
    with shop() as one:
        yard = Yard(one, tmp_path / "boxes")
        (tmp_path / "keys").write_bytes(yard.box.files["/keys"])
        asked = {
            "sync_direction": "push",
            "sync_prefix": "/home/user/.douse/one",
            "sync_url": f"{RUN}/checkpoints",
            "sync_endpoint_url": "",
            "sync_credentials_file": str(tmp_path / "keys"),
        }
        yard.box.train(yard.output, is_resumed=False, limit_s=None)
        one.world.sleep(20.0 + 160.0)
        assert play_sync(yard.box, asked, one.world).changed == len(checkpoint_files(4))
        assert play_sync(yard.box, asked, one.world).changed == 0
        other = Yard(one, tmp_path / "others")
        assert play_sync(other.box, asked | {"sync_direction": "pull"}, one.world).changed == len(checkpoint_files(4))
        one.be(DENIED)
        with pytest.raises(PlaybookFailedError, match=f"{SYNC}: sync: .* refuses: AccessDenied"):
            play_sync(yard.box, asked, one.world)

        assert other.box.names(f"{yard.output}/checkpoints") == ["checkpoint-4"]
        assert other.box.uploads is not None
        assert newest_complete(other.box.uploads.there(f"{yard.output}/checkpoints"))[0] is not None
