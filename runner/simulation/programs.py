"""What a simulated process starts and whom it logs in to, in place of this computer's own programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.adapters.ansible import PlaybookRun
from runner.adapters.machine import Machine
from runner.adapters.notices.order import Delivery, line_of, read_order
from runner.adapters.process import (
    GRACE_S,
    Apart,
    Cancel,
    OnLine,
    ToolCancelledError,
    ToolTimeoutError,
)
from runner.adapters.tools import Tools
from runner.errors import PlaybookFailedError, RunInterruptedError, RunnerError
from runner.run.models import Completed, Host
from runner.run.notices_section import filled_in
from runner.simulation.flaws import NO_FACTS, ODD_FACTS
from runner.simulation.life import Told
from runner.simulation.login import PYTHON, SimulatedLogin
from runner.simulation.terraform import SimulatedTerraform
from runner.simulation.uploads import SYNC, play_sync
from runner.world import World

if TYPE_CHECKING:
    from runner.adapters.ssh_login import Way
    from runner.simulation.process import Process
    from runner.simulation.stage import Stage

POLL_S, END_POLL_S = 5.0, 1.0
"""A program that has ended, says a line or is to be stopped is noticed at once, and all else after so many seconds."""
WHEEL, NOTICES = "hatchling", "runner.adapters.notices"
GUARD = "runner.guard"
PLAY_STEP_S, NOTICE_S = 5.0, 0.7


class SimulatedTools(Tools):
    """The tools of one process."""

    def __init__(self, process: Process, stage: Stage) -> None:
        """Take the process, and the life that it belongs to."""
        self._process, self._stage = process, stage

    def has(self, extra: str) -> bool:
        """Return that no extra is there: pages take their time."""
        del extra
        return False

    def log_in(
        self, world: World, host: Host, known_hosts: Path, way: Way, *, is_urgent: Cancel = lambda: False
    ) -> Machine:
        """Return a way onto a simulated machine."""
        del known_hosts, way, is_urgent
        return SimulatedLogin(world, host, self._stage.yard, self._stage.network)

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        environ: Mapping[str, str] | None = None,
        umask: int = -1,
        log: Path | None = None,
        on_line: OnLine | None = None,
        cancel: Cancel | None = None,
        grace_s: float | None = None,
        hurry: Cancel | None = None,
    ) -> Completed:
        """Run a program to its end; see ``process.run``."""
        del umask, log
        self._stage.yard.commands.append(list(argv))
        if NOTICES in argv:
            return self._notify(tuple(argv), env or {}, on_line)
        if WHEEL in argv:
            target = Path(argv[list(argv).index("--directory") + 1])
            (target / "douse-1-py3-none-any.whl").write_bytes(b"a wheel")
            return Completed(tuple(argv), 0, "")
        variables = {**(environ or {}), **(env or {})}
        child = self._stage.start_terraform(list(argv[1:]), cwd or Path(), variables)
        wait = _Wait(self._process, child, tuple(argv), on_line)
        return wait.until_end(timeout_s, cancel, GRACE_S if grace_s is None else grace_s, hurry)

    def _notify(self, argv: tuple[str, ...], env: Mapping[str, str], on_line: OnLine | None) -> Completed:
        """Send a notice: it arrives wherever an address is whole."""
        order, stage = read_order(env), self._stage
        words = f"{order.notice.title}: {order.notice.body}"
        stage.told.append(
            Told(stage.turns.passed_s, self._process.process_id, order.notice.event, words, stage.billing())
        )
        self._process.sleep(NOTICE_S)  # it is a process of its own, which outlives who has started it
        for address in order.urls:
            missing = filled_in(address, self._process.environ)[1]
            if on_line is not None:
                on_line(line_of(Delivery(address, f"{missing[0]} is not set" if missing else None)))
        return Completed(argv, 0, "")

    def start_apart(self, argv: Sequence[str], *, log: Path, cwd: Path, env: Mapping[str, str]) -> Apart:
        """Start a guard."""
        del log, cwd
        return self._stage.start_guard(self._process, argv[-1], env)

    def run_playbook(
        self,
        playbook: str,
        *,
        inventory: Mapping[str, Any],
        environment: str,
        variables: Mapping[str, Any],
        log: Path,
        world: World,
        on_progress: OnLine | None = None,
        cancel: Cancel | None = None,
        tags: Sequence[str] = (),
    ) -> PlaybookRun:
        """Carry out a playbook: it takes its time, fails now and then, and leaves lease and environment."""
        del environment, log, on_progress, tags
        where = inventory["all"]["hosts"]["box"]
        box = self._stage.yard.by_address.get((where["ansible_host"], where["ansible_port"]))
        for step in range(self._stage.play_steps()):
            world.sleep(PLAY_STEP_S)
            if cancel is not None and cancel():
                raise RunInterruptedError("configure: stopped on request", resolution="continue with `make resume`")
            if box is None or not box.answers or self._stage.is_cut:
                raise _failed(playbook, "unreachable")
            if step == 1 and variables.get("lease_enabled"):
                settings = {name.removeprefix("lease_"): variables[name] for name in variables if "lease_" in name}
                box.begin_lease(settings, self._stage.end_from_inside(box, settings["method"]))
        if box is None or self._stage.play_fails():
            raise _failed(playbook, "the mirror answers 503")
        if playbook == SYNC:
            return play_sync(box, variables, world)
        box.files[f"{variables['verify_prefix']}/venv/bin/python"] = PYTHON.encode()
        if playbook == "verify.yml" and NO_FACTS not in box.fate.flaws:
            facts = b"gpu: simulated" if ODD_FACTS in box.fate.flaws else b'{"gpu": "simulated"}'
            world.disk.write(Path(variables["verify_facts_path"]), facts)
        return PlaybookRun()


class _Wait:
    """Waits for a program as ``process.run`` does, in the time of the process that has started it."""

    def __init__(self, process: Process, child: TerraformChild, argv: tuple[str, ...], on_line: OnLine | None) -> None:
        self._process, self._child, self._argv, self._on_line = process, child, argv, on_line
        self._shown = 0

    def until_end(self, timeout_s: float, cancel: Cancel | None, grace_s: float, hurry: Cancel | None) -> Completed:
        until_s = self._process.monotonic_s() + timeout_s
        while self._child.exit_status is None:
            self._process.wait_told(lambda: self._is_news(cancel), POLL_S)
            self._show()
            if cancel is not None and cancel():
                self._end(grace_s, hurry)
                raise ToolCancelledError(
                    "process: terraform was stopped on request", resolution="continue with `make resume`"
                )
            if self._process.monotonic_s() > until_s:
                self._end(grace_s, hurry)
                raise ToolTimeoutError(
                    f"process: terraform did not finish within {timeout_s:.0f} s", resolution="see `make logs`"
                )
        self._show()
        return Completed(self._argv, self._child.exit_status, "\n".join(self._child.terraform.lines))

    def _is_news(self, cancel: Cancel | None) -> bool:
        """Return whether the program has ended, has said something, or is to be stopped: whoever does that stirs."""
        has_said = len(self._child.terraform.lines) > self._shown
        return self._child.exit_status is not None or has_said or (cancel is not None and cancel())

    def _show(self) -> None:
        for line in self._child.terraform.lines[self._shown :]:
            self._shown += 1
            if self._on_line is not None:
                self._on_line(line)

    def _end(self, grace_s: float, hurry: Cancel | None) -> None:
        """Send SIGINT, give it time, then SIGKILL: what is on its way into the state is lost."""
        self._child.terraform.stop.set()
        until_s, is_hurried = self._process.monotonic_s() + grace_s, False
        while self._child.exit_status is None and self._process.monotonic_s() < until_s:
            if not is_hurried and hurry is not None and hurry():
                until_s, is_hurried = min(until_s, self._process.monotonic_s() + GRACE_S), True
            self._process.sleep(END_POLL_S)
        self._child.kill()


class TerraformChild:
    """A Terraform that somebody has started; he may be gone before it is."""

    def __init__(self, process: Process, terraform: SimulatedTerraform) -> None:
        """Keep both."""
        self.process, self.terraform = process, terraform
        self._reported: int | None = None

    @property
    def exit_status(self) -> int | None:
        """Its exit status, once it has ended."""
        return self._reported if self._reported is not None else self.process.exit_status

    def kill(self) -> None:
        """Kill it with its provider."""
        self.process.computer.kill(self.process.process_id)

    def kill_alone(self, status: int) -> None:
        """Kill Terraform and not its provider, which gives up what it does by itself."""
        if self.exit_status is None:
            self._reported = status
            self.terraform.is_abandoned = True
            self.terraform.stop.set()


class SimulatedApart(Apart):
    """A guard that goes on without the process that has started it."""

    def __init__(self, owner: Process, guard: Process) -> None:
        """Keep both ends of the pipe."""
        self._owner, self._guard = owner, guard
        self.said: list[dict[str, Any]] = []
        self.answer = b""
        self.is_closed = False

    @property
    def has_ended(self) -> bool:
        """Whether nothing can come any more: the kernel closes the pipe of a process that has ended."""
        return self.is_closed or self._owner.is_dead

    def say(self, line: bytes) -> bool:
        """Send a line; return whether there is somebody to read it."""
        self._owner.count()
        if self._guard.is_dead or self.is_closed:
            return False
        self.said.append(json.loads(line))
        self._owner.computer.turns.stir()
        return True

    def first_line(self, timeout_s: float, cancel: Cancel = lambda: False) -> bytes:
        """Return the guard's answer."""
        until_s = self._owner.monotonic_s() + timeout_s
        while not (self.answer or self._guard.is_dead or cancel() or self._owner.monotonic_s() > until_s):
            self._owner.sleep(0.2)
        return self.answer

    def end(self) -> None:
        """Close the pipe."""
        self.is_closed = True
        self._owner.computer.turns.stir()


class SimulatedWords:
    """What a guard hears of its runner."""

    def __init__(self, process: Process, pipe: Callable[[], SimulatedApart]) -> None:
        """Take the guard's own process, and its pipe."""
        self._process, self._pipe, self._has_ended = process, pipe, False

    @property
    def has_ended(self) -> bool:
        """Whether the runner is gone."""
        return self._has_ended

    def next(self, timeout_s: float) -> list[dict[str, Any]]:
        """Return what was said."""
        pipe = self._pipe()
        if self._has_ended:
            self._process.sleep(timeout_s)
            return []
        self._process.wait_told(lambda: bool(pipe.said) or pipe.has_ended, timeout_s)
        said, pipe.said[:] = list(pipe.said), []
        self._has_ended = not said and pipe.has_ended
        return said


def guard_main(process: Process, run_id: str, pipe: Callable[[], SimulatedApart]) -> int:
    """Be the guard of a run; see ``runner.guard.__main__``."""
    from runner.guard.__main__ import make_guard
    from runner.guard.place import only_guard

    try:
        guard = make_guard(process, SimulatedWords(process, pipe))
        with only_guard(run_id, process):
            pipe().answer = json.dumps({"pid": process.process_id}).encode()
            guard.watch()
    except RunnerError as err:
        pipe().answer = json.dumps({"error": err.message}).encode()
        return 1
    return 0


def _failed(playbook: str, words: str) -> PlaybookFailedError:
    return PlaybookFailedError(
        f"configure: {playbook}: task 'simulated' failed: {words}", resolution="run `make resume`"
    )
