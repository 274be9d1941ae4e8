"""One simulated life: a run's own code from its first command on, 48 hours of it."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from runner.emulation.fault_table import FAULTS, Argument
from runner.emulation.faults import Count
from runner.emulation.machines import machine_row
from runner.errors import RunnerError
from runner.provider.mirror import write_mirror
from runner.rehearsal.services import emulated_clouds, known_faults, simulated_clouds
from runner.simulation.closer import beside, look_closer
from runner.simulation.computer import Computer
from runner.simulation.flaws import FLAW
from runner.simulation.happenings import HAPPENINGS, Scene, damage
from runner.simulation.life import LIFE_S, Ended, Life, Span
from runner.simulation.more_acts import FIRST, RUN_ID, SETTING, draw_more, draw_own, in_order
from runner.simulation.planner import RUN_FILE, SAMPLES
from runner.simulation.process import KILLED, Process
from runner.simulation.rates import HARSH, MORE, STORE, Rates
from runner.simulation.real_folder import clear
from runner.simulation.screens import screens
from runner.simulation.script import Act, Script, draw, narrowed
from runner.simulation.stage import BEGAN, Command, Stage
from runner.simulation.store_acts import draw_store, store_of, with_store
from runner.simulation.stories import choose_story, draw_story, told_in
from runner.simulation.telling import AFAR, ELSEWHERE, SEVERAL
from runner.simulation.turns import DeadlockError
from trainer.files import object_or_none

LONGEST_COMMAND_S = 12 * 3600.0
TICK_S = 300.0
Key = Literal["its key", "another key", "no key", "its key elsewhere"]
KEYS: dict[str, Key] = {
    "type": "its key",
    "type with another key": "another key",
    "type without a key": "no key",
    ELSEWHERE: "its key elsewhere",
}
LOST_WORD, STAGES = "lost", ("any", "machine", "ended")
"""Further words of a fault: that no answer comes to its request, and from which stage of a life on it strikes."""
UNASKED = ("plan",)
"""Verbs that rent nothing, and so ask nobody."""
RECOVER_ON = "compute.recover_on="
BROUGHT_ABOUT = ("kill_runner", "kill_terraform", "lease_killed")
"""Faults that no emulator brings about by itself: the script has its own kills."""


def live(
    seed: int, cloud: str, folder: Path, command: Command, *, rates: Rates = HARSH, script: Script | None = None
) -> Life:
    """Live one life.

    Args:
        seed: Where all chance comes from.
        cloud: The cloud's name.
        folder: A folder of this machine that the life may use, emptied before.
        command: Runs a command line in a world.
        rates: How often what goes wrong.
        script: What is to happen in place of what the seed says.
    """
    clear(str(folder))
    chance = random.Random(f"settings {seed}")  # noqa: S311 - to be the same each time is what it is for
    acts = drawn(seed, cloud, rates) if script is None else script
    settings = {name: _settings(name, chance) for name in (cloud, *_other_clouds(acts, cloud))}
    stage = Stage(cloud, seed, folder, rates, settings)
    return _Player(seed, stage, acts, command).play()


def _other_clouds(script: Script, cloud: str) -> list[str]:
    """Return the other clouds on which the run of a life may go on: the user has an account there too."""
    wanted = "".join(act.words[0] for act in script if act.kind == SETTING and act.words[0].startswith(RECOVER_ON))
    return [name for name in simulated_clouds() if name != cloud and name in wanted]


def drawn(seed: int, cloud: str, rates: Rates = HARSH) -> Script:
    """Return the script that a seed draws."""
    possible = sorted(known_faults()[cloud].possible)
    simulated = [name for name in possible if not (FAULTS[name].needs_real_box or name.startswith(BROUGHT_ABOUT))]
    first = draw(random.Random(f"script {seed}"), rates, simulated)  # noqa: S311 - likewise
    further = draw_more(random.Random(f"more {seed}"), MORE)  # noqa: S311 - likewise
    told = draw_story(seed, MORE, simulated)
    acts = in_order(first, further)
    paper = emulated_clouds()[cloud].on_paper
    own = draw_own(random.Random(f"own {seed}"), () if paper is None else paper.own_settings, MORE)  # noqa: S311 - likewise
    found = told_in(told, narrowed(random.Random(f"narrow {seed}"), rates, acts))  # noqa: S311 - likewise
    chance = random.Random(f"its store {seed}")  # noqa: S311 - likewise
    return own + with_store(draw_store(chance, STORE, simulated), found, chance)


def story_of(seed: int) -> str:
    """Return the name of the story that a seed draws; nothing where it draws none."""
    story, _ = choose_story(seed, MORE)
    return "" if story is None else story.__name__.lstrip("_")


def _settings(cloud: str, chance: random.Random) -> dict[str, float]:
    """Return the emulated cloud's durations, as long as real ones."""
    settings = {name: setting.default for name, setting in emulated_clouds()[cloud].settings.items()}
    slow = {name: chance.uniform(2.0, 40.0) for name in settings if name.endswith("_s") and not name.startswith("pace")}
    pages = {name: float(chance.choice((1, 2, 50))) for name in settings if name == "page_size"}
    return settings | slow | pages


class _Player:
    """Plays one life on its stage."""

    def __init__(self, seed: int, stage: Stage, script: Script, command: Command) -> None:
        self._stage, self._command = stage, command
        self.life = Life(seed, stage.cloud, script, stage.history)
        self._began: dict[int, tuple[tuple[str, ...], float, Key]] = {}
        self._scene = Scene(stage, self.life, self._give)
        desk = Computer(stage.turns, random.Random(seed), began=BEGAN)  # noqa: S311
        self._user = Process(desk, {}, name="user")
        stage.turns.adopt("user", self._user)
        stage.ended = self._on_end

    def play(self) -> Life:
        """Live, and return what is left."""
        stage, life = self._stage, self.life
        self._settle()
        with screens(stage):
            try:
                self._live()
            except DeadlockError as err:
                life.troubles.append(str(err))
            self._look_at_the_end()
            stage.turns.close()
        life.troubles += [f"{type(err).__name__}: {err}" for err in stage.turns.failures]
        return life

    def _settle(self) -> None:
        """Lay down what is there before: the run file, the data, other people's machines."""
        stage = self._stage
        stage.home.mkdir(parents=True)
        (stage.home / "run.yml").write_text(RUN_FILE, encoding="utf-8")
        for name, sample in SAMPLES.items():
            (stage.home / name).write_text(sample, encoding="utf-8")
        stage.store = self.life.store = store_of(self.life.script, stage, self.life.seed)
        faults = [act for act in self.life.script if act.kind == "fault"]
        for act in faults:
            self._queue(act)
        stage.flaws = frozenset(act.words[0] for act in self.life.script if act.kind == FLAW)
        chance = random.Random(f"neighbour {self.life.seed}")  # noqa: S311
        # What goes wrong on the cloud's side is to hit our machine.
        stage.has_neighbour = not faults and chance.random() < stage.rates.neighbour
        providers = stage.home / ".cache" / "douse" / "terraform" / "providers"
        providers.parent.mkdir(parents=True)
        providers.symlink_to(write_mirror(self._user, stage.folder.with_name("providers")))  # Douse was used before
        self._tick()

    def _queue(self, act: Act) -> None:
        name, *often = act.words
        arguments: dict[str, Argument] = {"after": act.at_s}
        for argument in FAULTS[name].arguments:
            if argument in ("seconds", "after_s"):
                arguments[argument] = act.number
            elif argument == "candidates" and often:
                arguments[argument] = often[0]
            elif argument == "lasts_s" and often[1:] and often[1] not in STAGES:
                arguments[argument] = float(often[1])
        for word in often[1:]:
            if word in STAGES:
                arguments["when"] = word
        if LOST_WORD in often:
            arguments["lost"] = True
        count: Count = 1 if not often else "always" if often[0] == SEVERAL else int(often[0])
        with contextlib.suppress(RunnerError):
            self._stage.state.faults.add(name, count, arguments)

    def _live(self) -> None:
        stage, script = self._stage, self.life.script
        crash_at = next((int(act.number) for act in script if act.kind == "crash"), None)
        verb = next((act.words for act in script if act.kind == FIRST), ("train",))
        settings = [word for act in script if act.kind == SETTING for word in ("--set", *act.words)]
        asked = () if verb[0] in UNASKED else ("--yes",)
        first = (*verb, "--config", str(stage.home / "run.yml"), "--env", stage.cloud, *asked, *settings)
        for act in script:
            if act.kind in HAPPENINGS:
                stage.turns.at(act.at_s, partial(self._happen, act))
        self._type(first, crash_at=crash_at)
        for act in script:
            if act.kind == "damage":
                damage(self._scene, act, self._runs())
            elif act.kind in KEYS:
                self._user.sleep(act.at_s)
                self._type(act.words, KEYS[act.kind], crash_at=int(act.number) or None)
        self._wait_for_the_end()

    def _type(self, words: tuple[str, ...], key: Key = "its key", *, crash_at: int | None = None) -> None:
        """Give a command and wait until it has ended, or for as long as anybody would."""
        runner = self._scene.runner = self._give(words, key, crash_at=crash_at)
        self._user.wait_told(lambda: runner.is_dead, LONGEST_COMMAND_S)

    def _give(self, words: tuple[str, ...], key: Key = "its key", *, crash_at: int | None = None) -> Process:
        """Give a command and wait for nothing."""
        stage = self._stage
        accounts = {"another key": stage.other_account, "no key": {}}
        environ = stage.environ(accounts.get(key, stage.account))
        if key == "its key elsewhere":
            environ["XDG_CACHE_HOME"] = str(stage.home / "cache")
        run_id = next((run.name for run in reversed(self._runs())), "none")
        argv = [run_id if word == RUN_ID else word for word in words]
        here = () if set(AFAR) <= set(words) else ("--runs-dir", str(stage.home / "runs"))
        where = ("--env", stage.cloud) if words[0] == "terminate" else here
        stage.note(f"user types {words[0]} with {key}")
        given = stage.spawn(
            words[0], environ, lambda process: self._command([*argv, *where], process), crash_at=crash_at
        )
        self._began[given.process_id] = (words, stage.turns.passed_s, key)
        return given

    def _happen(self, act: Act) -> None:
        """Let something happen, in nobody's turn."""
        self._stage.note(f"happens: {act}")
        self.life.faults += 1
        HAPPENINGS[act.kind](self._scene, act)

    def _wait_for_the_end(self) -> None:
        """Wait until nothing goes on any more, for 48 hours in all at most."""
        stage = self._stage
        while stage.turns.passed_s < LIFE_S:
            if not stage.laptop.processes and all(machine.is_ended for machine in stage.machines):
                return
            self._user.sleep(min(1800.0, LIFE_S - stage.turns.passed_s))

    def _tick(self) -> None:
        """Let the cloud do what is due, now and whenever the next such thing is."""
        now, turns = self._stage.clock(), self._stage.turns
        self._stage.catch_up()
        wait_s = TICK_S
        for machine in self._stage.machines:
            if machine.ended_at is None:
                moments = [at for at, _ in machine.due] + ([machine.ends_at] if machine.ends_at else [])
                wait_s = min([wait_s, *(at - now for at in moments)])
        turns.at(turns.passed_s + max(1.0, wait_s), self._tick)

    def _on_end(self, process: Process) -> None:
        """Note how a command has ended, and what it left."""
        if process.process_id not in self._began:
            return
        words, began_s, key = self._began[process.process_id]
        now, status = self._stage.turns.passed_s, process.exit_status or 0
        printed = "".join(process.printed)
        billing = self._stage.billing()
        is_right = self._is_right(key, billing)
        self.life.ended.append(Ended(words, began_s, now, status, printed, process.traceback, billing, is_right))
        self._keep_receipts()

    def _is_right(self, key: Key, billing: Sequence[str]) -> bool:
        """Return whether a key opens the account of all that bills; if nothing does, whether it is the first one."""
        own, *others = self._stage.books
        holding = {"its key": [own], "its key elsewhere": [own], "another key": others, "no key": []}[key]
        if not billing:
            return key.startswith("its key")
        return all(any(found in book.machines for book in holding) for found in billing)

    def _keep_receipts(self) -> None:
        clock, disk = self._stage.clock(), self._stage.laptop.disk
        for run in self._runs():
            receipt = object_or_none(disk._files.get(f"{run}/receipt.json", b""))
            if receipt is not None and "run_id" in receipt:  # else it was damaged
                rows = [dict(machine_row(one, clock)) for one in self._stage.machines]
                self.life.receipts.append((receipt, rows))
                self.life.beside_receipts += beside(self._stage, run.name)

    def _runs(self) -> list[Path]:
        folder, files = f"{self._stage.home}/runs/", self._stage.laptop.disk._files
        inside = (name[len(folder) :].split("/") for name in files if name.startswith(folder))
        return [Path(folder, run) for run in sorted({parts[0] for parts in inside if len(parts) == 2})]

    def _look_at_the_end(self) -> None:
        stage, life = self._stage, self.life
        self._tick()
        life.machines = stage.machines
        life.rows = [dict(machine_row(one, stage.clock())) for one in life.machines]
        left = [one for book in stage.books for one in book.leftovers.values()]
        life.leftovers = [(one.kind, one.id, one.name) for one in left]
        life.spans = [Span(one.name, one.began_s, one.ended_s, one.exit_status == KILLED) for one in stage.processes]
        life.alive = sorted(process.name for process in stage.laptop.processes.values())
        life.files = {str(path): text for path, text in stage.laptop.disk._files.items()}
        life.faults += stage.network.faults + len(stage.state.faults.fired) + stage.mishaps
        life.foreign, life.told = stage.neighbours, stage.told
        look_closer(stage, life, self._runs())
