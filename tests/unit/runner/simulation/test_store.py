"""The store of a simulated life: whom it lets in, what it does to what is asked, and which lives have one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.errors import AccessDeniedError, BadRequestError, CloudUnavailableError
from runner.simulation.living import drawn
from runner.simulation.rates import HARSH, STORE
from runner.simulation.script import Act
from runner.simulation.stage import Stage
from runner.simulation.store import (
    BUSY,
    CUTS,
    DENIED,
    DOWN,
    ENDPOINT,
    LATE,
    LOSES,
    MUTE,
    ROLE,
    SPOILS,
    URL,
    SimulatedRole,
    SimulatedStore,
)
from runner.simulation.store_acts import DAMAGES, TROUBLES, draw_store, store_of, with_store
from runner.simulation.store_client import Asker, open_simulated
from runner.simulation.store_seams import USERS_KEYS
from runner.simulation.telling import setting
from runner.simulation.trainer import checkpoint_files
from runner.simulation.world import VirtualWorld
from tests.unit.runner.simulation.test_terraform import SETTINGS
from trainer.checkpoints.complete import MANIFEST_NAME
from trainer.checkpoints.pull import pull
from trainer.errors import StoreError

RUN = f"{URL}/20260101-000000-one"
WEIGHTS = "adapter_model.safetensors"


class Shop:
    """A store, and whoever asks it."""

    def __init__(self, world: VirtualWorld, manner: Any, noted: list[str]) -> None:
        self.world, self.noted = world, noted
        chance = random.Random(1)
        self.store = SimulatedStore(manner, world.computer.turns, chance, noted.append, has_weather=False)
        self.is_cut = False

    def place(self, keys: dict[str, str] | None = None, *, own: dict[str, str] | None = None) -> Any:
        asker = Asker("me", self.world.sleep, lambda: self.is_cut, USERS_KEYS if own is None else own, lambda _: None)
        return open_simulated(self.store, asker, RUN, ENDPOINT if self.store.manner == "gateway" else None, keys)

    def be(self, word: str, seconds: float = 100.0) -> None:
        now_s = self.world.computer.turns.passed_s
        self.store.troubles.append((now_s, now_s + seconds, word))


@contextmanager
def shop(manner: str = "amazon") -> Iterator[Shop]:
    with VirtualWorld() as world:
        yield Shop(world, manner, [])


@pytest.mark.parametrize("manner", ["amazon", "gateway"])
def test_the_products_own_bucket_works_on_it(manner: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    with shop(manner) as one:
        place = one.place()
        for number in range(11):
            place.write(b"x" * number, f"many/{number:02}")
        place.put(tmp_path / "a", "a", "0" * 64)
        place.settle()
        place = one.place()
        assert place.sizes() == {"a": 7} | {f"many/{number:02}": number for number in range(11)}
        assert place.matches("a", tmp_path / "a", "0" * 64) is True
        place.get("a", tmp_path / "back")
        place.remove("a")

        assert (tmp_path / "back").read_bytes() == b"content"
        assert "a" not in one.place().sizes()
        with pytest.raises(FileNotFoundError):
            place.read("a")


@pytest.mark.parametrize(
    ("word", "refused"),
    [(DOWN, "cannot reach"), (BUSY, "SlowDown"), (DENIED, "AccessDenied"), (MUTE, "cannot reach"), ("cut", "cannot")],
)
def test_it_answers_badly_for_a_while(word: str, refused: str) -> None:
    with shop() as one:
        place = one.place()
        one.is_cut = word == "cut"
        if not one.is_cut:
            one.be(word)
        with pytest.raises(StoreError, match=refused):
            place.write(b"content", "a")
        has_it = bool(one.store.objects)
        one.is_cut = False
        one.world.sleep(100.0)
        place.write(b"content", "a")

    assert has_it == (word == MUTE)
    assert one.store.faults == (word != "cut")


def test_a_late_answer_is_late_and_no_failure() -> None:
    with shop() as one:
        place = one.place()
        one.be(LATE)
        before_s = one.world.monotonic_s()
        place.write(b"content", "a")

        assert one.world.monotonic_s() - before_s > 40.0


def test_single_requests_fail_where_there_is_weather() -> None:
    with shop() as one:
        one.store.has_weather, one.store.rates = True, replace(STORE, requests=((BUSY, 0.5),))
        done = 0
        for _ in range(40):
            try:
                one.place().write(b"content", "a")
            except StoreError:
                continue
            done += 1

    assert 5 < done < 35
    assert one.store.faults == 40 - done


def test_keys_open_it_until_they_end_and_no_others_do() -> None:
    with shop() as one:
        granted = one.store.grant(900)
        keys = {"AWS_ACCESS_KEY_ID": granted.access_key_id, "AWS_SECRET_ACCESS_KEY": granted.secret_access_key}
        with pytest.raises(StoreError, match="InvalidToken"):
            one.place(keys).write(b"1", "a")
        one.place(keys | {"AWS_SESSION_TOKEN": granted.session_token}).write(b"1", "a")
        with pytest.raises(StoreError, match="InvalidAccessKeyId"):
            one.place({"AWS_ACCESS_KEY_ID": "another"}).write(b"1", "a")
        with pytest.raises(StoreError, match="NoCredentials"):
            one.place(own={}).write(b"1", "a")
        one.world.sleep(901.0)
        with pytest.raises(StoreError, match="ExpiredToken"):
            one.place(keys | {"AWS_SESSION_TOKEN": granted.session_token}).write(b"1", "a")


@pytest.mark.parametrize(
    ("word", "seconds", "raised"),
    [(DOWN, 900, CloudUnavailableError), (DENIED, 900, AccessDeniedError), (LATE, 7200, BadRequestError)],
)
def test_a_role_may_not_be_had(word: str, seconds: int, raised: type[Exception]) -> None:
    with shop() as one:
        role = SimulatedRole(one.store, one.world.sleep, lambda: False)
        assert role.sts_credentials_for_prefix("a-bucket", "runs/one", ROLE, 900).access_key_id
        one.be(word)
        with pytest.raises(raised):
            role.sts_credentials_for_prefix("a-bucket", "runs/one", ROLE, seconds)


@pytest.mark.parametrize("how", DAMAGES)
def test_it_damages_the_newest_checkpoint_alone(how: str, tmp_path: Path) -> None:
    with shop() as one:
        one.store.damage(how)  # there is none yet
        for step in (4, 12, 8):
            for name, content in checkpoint_files(step).items():
                one.place().write(content, f"checkpoints/checkpoint-{step}/{name}")
        one.store.damage(how)
        asker = Asker("me", one.world.sleep, lambda: False, USERS_KEYS, lambda _: None)
        done = pull(f"{RUN}/checkpoints", tmp_path, opened=lambda *words: open_simulated(one.store, asker, *words))

    assert done.checkpoint == 8
    assert [(entry.who, entry.key.rpartition("/")[2]) for entry in one.store.book if not entry.who] == [
        ("", MANIFEST_NAME if how == LOSES else WEIGHTS)
    ]


# which lives have one


def test_a_life_has_a_store_by_a_chance_of_its_own() -> None:
    scripts = {seed: drawn(seed, "lambda") for seed in range(400)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runner.simulation.living.draw_store", lambda *_: ())
        without = {seed: drawn(seed, "lambda") for seed in range(400)}
    stored = {seed for seed, script in scripts.items() if any(URL in word for act in script for word in act.words)}

    assert 0.1 < len(stored) / 400 < 0.2
    assert all(scripts[seed] == without[seed] for seed in scripts if seed not in stored)
    own = [seed for seed in stored if len(scripts[seed]) > len(without[seed])]
    assert len(own) > len(stored) / 3


def test_every_trouble_and_damage_is_drawn() -> None:
    many = [draw_store(random.Random(seed), STORE, ("box_killed",)) for seed in range(3000)]
    acts = [act for script in many for act in script]

    assert {act.kind for act in acts} >= {*TROUBLES, *DAMAGES}
    assert {act.words[0] for act in acts if act.kind == "fault"} == {"box_killed"}
    assert all(script[0] == setting(f"store.url={URL}") for script in many if script)


def test_what_is_typed_in_the_end_stays_the_last() -> None:
    store, kill, down = (setting(f"store.url={URL}"),), Act("kill", 3.0), Act("type", words=("down",))
    found = {with_store(store, (kill, down), random.Random(seed)) for seed in range(20)}

    assert found == {(*store, kill, down), (*store, Act("type", 3600.0, words=("down",)))}
    assert with_store((), (kill,), random.Random(1)) == (kill,)


@pytest.mark.parametrize(
    ("words", "manner"),
    [
        ((), None),
        ((f"store.url={URL}",), "amazon"),
        ((f"store.url={URL}", f"store.endpoint_url={ENDPOINT}"), "gateway"),
    ],
)
def test_the_run_file_says_which_store_there_is(words: tuple[str, ...], manner: str | None, tmp_path: Path) -> None:
    stage = Stage("lambda", 1, tmp_path, HARSH, {"lambda": SETTINGS})
    store = store_of(tuple(setting(word) for word in words), stage, 1)

    assert (None if store is None else store.manner) == manner


def test_spoiled_and_cut_weights_are_not_those_that_were_sent() -> None:
    with shop() as one:
        for name, content in checkpoint_files(4).items():
            one.place().write(content, f"checkpoints/checkpoint-4/{name}")
        sizes = []
        for how in (SPOILS, CUTS):
            one.store.damage(how)
            sizes.append(one.place().sizes()[f"checkpoints/checkpoint-4/{WEIGHTS}"])

    assert sizes == [len(checkpoint_files(4)[WEIGHTS]), len(checkpoint_files(4)[WEIGHTS]) - 1]
