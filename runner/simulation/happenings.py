"""What happens to a life by its script while commands go on: kills, signals, sleep, a network that is down."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.simulation.life import LIFE_S, Life
from runner.simulation.process import Process
from runner.simulation.script import Act
from runner.simulation.stage import Stage
from runner.simulation.store_acts import STORE_HAPPENINGS

AT_LAUNCH = "at the launch"
ODD = (
    b'{"word": "odd", "said_at": "2026-01-01T00:00:00+00:00", "steps": 1, "compute": [], '
    b'"budget": {"lease_minutes": "long"}}\n'
)
"""JSON that is none of what the files of a run hold."""


@dataclass
class Scene:
    """Where it happens.

    Attributes:
        stage: The stage.
        life: What is noted of it.
        give: Gives a command beside the one that goes on.
        runner: The command that was given last, dead or alive.
    """

    stage: Stage
    life: Life
    give: Callable[[tuple[str, ...]], Process]
    runner: Process | None = None

    @property
    def living_runner(self) -> Process | None:
        """The command that was given last, if it goes on."""
        return None if self.runner is None or self.runner.is_dead else self.runner


def kill(scene: Scene, act: Act) -> None:
    """Kill the command."""
    del act
    if scene.living_runner is not None:
        scene.stage.laptop.kill(scene.living_runner.process_id)


def kill_guard(scene: Scene, act: Act) -> None:
    """Kill the guard, as logging out does where it ends everything of a user's."""
    for process in list(scene.stage.laptop.processes.values()):
        if process.name == "guard":
            scene.life.guard_gaps.append((act.at_s, LIFE_S))
            scene.stage.laptop.kill(process.process_id)


def close_lid(scene: Scene, act: Act) -> None:
    """Let the user's computer sleep."""
    scene.life.guard_gaps.append((act.at_s, act.at_s + act.number))
    scene.stage.laptop.sleep(act.number)


def cut_off(scene: Scene, act: Act) -> None:
    """Take the user's computer off the network."""
    scene.life.guard_gaps.append((act.at_s, act.at_s + act.number))
    scene.stage.network.cut_until_s = act.at_s + act.number


def interrupt(scene: Scene, act: Act) -> None:
    """Press Ctrl-C."""
    del act
    if scene.living_runner is not None:
        scene.living_runner.hear(signal.SIGINT)


def hang_up(scene: Scene, act: Act) -> None:
    """Close the terminal."""
    del act
    if scene.living_runner is not None:
        scene.living_runner.hear(signal.SIGHUP)


def stop(scene: Scene, act: Act) -> None:
    """Press Ctrl-Z, and think of it later."""
    if scene.living_runner is not None:
        scene.living_runner.freeze()
        scene.stage.turns.at(act.at_s + act.number, scene.living_runner.thaw)


def kill_terraform(scene: Scene, act: Act) -> None:
    """Kill Terraform, and not its provider."""
    del act
    for child in scene.stage.children:
        child.kill_alone(-int(signal.SIGKILL))


def kill_lease(scene: Scene, act: Act) -> None:
    """Kill the program that keeps the lease, on each machine."""
    del act
    for box in scene.stage.yard.boxes.values():
        if box.lease is not None and not box.is_dead:
            box.lease.kill()


def set_clock(scene: Scene, act: Act) -> None:
    """Set the clock of the user's computer forward, or back."""
    scene.stage.laptop.clock_off_s += act.number


def sweep_beside(scene: Scene, act: Act) -> None:
    """Sweep from another terminal, or on another computer."""
    scene.give(act.words or ("sweep", "--apply"))


def fill_disk(scene: Scene, act: Act) -> None:
    """Let something else take every byte of the user's disk, and give them back later."""
    disk = scene.stage.laptop.disk
    disk.is_full = True
    scene.stage.turns.at(act.at_s + act.number, lambda: setattr(disk, "is_full", False))


def meet_the_launch(scene: Scene, act: Act) -> None:
    """Let something happen as soon as a cloud has made a machine, before its answer is back, or so much later."""
    turns, words = scene.stage.turns, act.words[0]

    def happen() -> None:
        scene.stage.note(f"a machine has been made, and so: {words}")
        HAPPENINGS[words](scene, act)

    scene.stage.network.on_launch.append(lambda: turns.at(turns.passed_s + act.number, happen))


HAPPENINGS: dict[str, Callable[[Scene, Act], None]] = {
    "kill": kill,
    "kill guard": kill_guard,
    "lid": close_lid,
    "cut": cut_off,
    "interrupt": interrupt,
    "hang up": hang_up,
    "stop": stop,
    "kill terraform": kill_terraform,
    "kill lease": kill_lease,
    "set clock": set_clock,
    "sweep beside": sweep_beside,
    "full disk": fill_disk,
    AT_LAUNCH: meet_the_launch,
    **STORE_HAPPENINGS,
}


def damage(scene: Scene, act: Act, runs: Sequence[Path]) -> None:
    """Damage a file of each run's folder, unless somebody drives it."""
    (name, how), disk = act.words, scene.stage.laptop.disk
    for path in [run / name for run in runs if scene.living_runner is None and disk.is_file(run / name)]:
        scene.stage.note(f"happens: {act}")
        content = disk.read(path)
        left = {"empty": b"", "odd": ODD}.get(how, content[: int(len(content) * act.number)])
        if path.is_file():  # what programs open by themselves lies below the disk in memory
            path.unlink() if how == "lost" else path.write_bytes(left)
        elif how == "lost":
            disk.remove(path)
        else:
            disk.spoil(path, left)
