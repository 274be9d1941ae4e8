"""``FAULTS=``: what is to go wrong in a rehearsal: in the clouds, to the runner itself, on the user's own machine."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import Any

from runner.emulation.fault_table import FAULTS, INSIDE
from runner.errors import UsageError
from runner.rehearsal.at_step import AT_STEP, arguments
from runner.rehearsal.hostile import ATTACKS

STEPS = ("provision", "boot", "configure", "stage", "train", "store", "collect", "destroy")
"""Moments of a run: ``boot`` is the part of ``provision`` in which there is a machine that bills, ``store`` the part of
``train`` in which a checkpoint is in the store."""
AT_LAUNCH = ("kill_runner@before_create", "kill_runner@after_create", "kill_terraform@create")
"""Ends that the emulated cloud itself brings about, at the moment it is asked for a machine."""
FILE_FAULTS = {
    "state_file_empty": "a file of the run's folder is found empty",
    "state_file_cut": "a file of the run's folder is found cut in half",
    "state_file_lost": "a file of the run's folder is missing",
}
"""What the user finds who comes back after a kill; ``file`` says which."""
LOST = {"checkpoints_lost": "the checkpoints in the run's folder are gone; it needs a kill"}
"""What else the user finds then, which does not damage the run."""
VERBS = ("down", "sweep", "resume", "status")


@dataclass(frozen=True)
class Action:
    """What happens to the runner at a step.

    Attributes:
        does: In words.
        signals: What is sent, one after the other.
        program: Who gets it: ``everything`` (the runner and all that it has started), ``runner``, ``terraform``, or the
            ``listener`` at the other end of what the runner prints.
        between_s: Seconds from one signal to the next.
    """

    does: str
    signals: tuple[signal.Signals, ...] = ()
    program: str = "runner"
    between_s: float = 1.0


RUNNER_ACTIONS = {
    "kill_runner": Action("SIGKILL to it and to all that it has started", (signal.SIGKILL,), "everything"),
    "kill_terraform": Action("SIGKILL to its Terraform alone", (signal.SIGKILL,), "terraform"),
    "runner_stopped": Action("SIGSTOP: it lives, holds its lock, and does nothing any more", (signal.SIGSTOP,)),
    "laptop_sleeps": Action(
        "SIGSTOP to it and to all that it has started, and SIGCONT 20 s later",
        (signal.SIGSTOP, signal.SIGCONT),
        "everything",
        20.0,
    ),
    "terminal_closed": Action(
        "its terminal is closed, a real one: SIGHUP, and nothing can be printed", (signal.SIGUSR1,), "listener"
    ),
    "stdout_gone": Action(
        "whoever reads what it prints through a pipe is gone, as after `| head`", (signal.SIGUSR1,), "listener"
    ),
    "runs_deleted": Action("the folder of all runs is deleted under it"),
    "ctrl_c": Action("SIGINT", (signal.SIGINT,)),
    "ctrl_c_twice": Action("SIGINT, then SIGINT", (signal.SIGINT, signal.SIGINT)),
    "sigterm": Action("SIGTERM", (signal.SIGTERM,)),
    "sighup": Action("SIGHUP", (signal.SIGHUP,)),
}
DIRTY = {"dirty_environment": "a locale, and settings for Terraform and Ansible that lead astray, are in the shell"}
"""What is wrong with the shell in which every verb is given."""
DETACHED = {"detached_and_done": "nobody stays: the run is left alone with `DETACH=1`, and its trainer ends by itself"}
"""How the user goes away."""
HOSTILE = "hostile_host"
"""Its machine is no friend; what follows the colon says what it does."""
VERB_FAULTS = {
    "no_key": "the shell in which the verb is given has no key of the cloud; then the verb is given again, with it",
    "other_account": "the key in that shell is another account's; then the verb is given again, with the right one",
    "other_version": "the run's folder was written by a version of Douse that has keys unknown to this one",
}
"""What is wrong when a user who comes back after a kill gives a verb."""
ONE_VERB_FAULTS = {
    "lock_changed_offline@down": (
        "down",
        "the locks have changed and no package index can be reached when `make` gives the verb; then it is given again",
    ),
    "two_guards": (
        "resume",
        "before `resume` the lock of the run's guard is lost, so that it lives on beside the guard of the resumed run",
    ),
}
"""What is wrong when one certain verb is given: the verb, and what it is."""
TWINS = "same_second_twins"
STUCK = "stuck_thing"
OTHER_RUNS = {
    TWINS: "a second run has the same name and second in its id, as from another computer; both go on to their end",
    STUCK: "the machine of an earlier run on another cloud cannot be terminated; it needs a kill and AFTERWARDS=sweep",
}
"""What another run of the same user has to do with it."""


@dataclass(frozen=True)
class CloudFault:
    """A fault of an emulated cloud, as its control API takes it."""

    name: str
    count: int | None = None
    args: dict[str, Any] = field(default_factory=dict)

    def to_mapping(self, cloud: str) -> dict[str, Any]:
        """Return the body of ``POST /faults`` for a cloud."""
        return {"name": self.name, "count": self.count, "args": {"cloud": cloud, **self.args}}


@dataclass(frozen=True)
class RunnerFault:
    """Something that happens to the runner while a step goes on.

    Attributes:
        name: As it was asked for.
        step: The step.
        action: What happens, a name in ``RUNNER_ACTIONS`` or ``TWINS``, or to or by the machine, one in ``INSIDE``,
            ``AT_STEP`` or ``ATTACKS``.
        args: What was set.
    """

    name: str
    step: str
    action: str
    args: dict[str, Any] = field(default_factory=dict)

    @property
    def does(self) -> Action:
        """What happens."""
        return RUNNER_ACTIONS[self.action]


@dataclass(frozen=True)
class HomeFault:
    """Something that is wrong on the user's own machine, most of it after a kill.

    Attributes:
        name: As it was asked for.
        action: A name in ``FILE_FAULTS``, ``LOST``, ``VERB_FAULTS``, ``ONE_VERB_FAULTS`` (without its verb), ``DIRTY``
            or ``DETACHED``, or ``STUCK``.
        at: The file, by its path in the run's folder, or the verb; empty for every verb.
    """

    name: str
    action: str
    at: str


def parse_faults(text: str) -> tuple[list[CloudFault], list[RunnerFault], list[HomeFault]]:
    """Return the faults that ``FAULTS=`` asks for, in order: of clouds, of the runner, of the user's own machine.

    Args:
        text: Separated by commas: ``name``, ``name:count``, ``name:key=value;key=value``, ``action@step`` or
            ``action@verb``.

    Raises:
        UsageError: If one is not of this form, or there is no such action, step or verb. Whether the cloud knows a name
            is reported by its emulator.
    """
    clouds: list[CloudFault] = []
    runner: list[RunnerFault] = []
    home: list[HomeFault] = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        if (at_home := _home_fault(word)) is not None:
            home.append(at_home)
        elif (of_the_runner := _runner_fault(word)) is not None:
            runner.append(of_the_runner)
        elif "@" not in word or word in AT_LAUNCH:
            clouds.append(_cloud_fault(word))
        else:
            raise _unknown(word)
    return clouds, runner, home


def _home_fault(word: str) -> HomeFault | None:
    """Return a fault of the user's own machine by its word, ``None`` for a word that is none."""
    action, _, verb = word.partition("@")
    if word.partition(":")[0] in FILE_FAULTS:
        return _file_fault(word)
    if word in ONE_VERB_FAULTS:
        return HomeFault(word, action, ONE_VERB_FAULTS[word][0])
    if action in VERB_FAULTS and verb in VERBS:
        return HomeFault(word, action, verb)
    return HomeFault(word, word, "") if word in {*DIRTY, *DETACHED, *LOST, STUCK} else None


def _runner_fault(word: str) -> RunnerFault | None:
    """Return a fault of the runner or its machine by its word, ``None`` for a word that is none."""
    action, _, step = word.partition("@")
    if word.partition(":")[0] == HOSTILE:
        return _attack(word)
    if word.partition(":")[0] in INSIDE:
        return _inside(word)
    if word.partition(":")[0] in AT_STEP:
        fault = _cloud_fault(word)
        return RunnerFault(word, "train", fault.name, arguments(fault.name, fault.args, word))
    if word == TWINS:
        return RunnerFault(word, "provision", word)
    is_known = word not in AT_LAUNCH and action in RUNNER_ACTIONS and step in STEPS
    return RunnerFault(word, step, action) if is_known else None


def _attack(word: str) -> RunnerFault:
    kind = word.partition(":")[2]
    if kind not in ATTACKS:
        raise UsageError(
            f"rehearse: there is no fault {word}", resolution=f"known: {HOSTILE}: and {', '.join(ATTACKS)}"
        )
    return RunnerFault(word, ATTACKS[kind].step, kind)


def _inside(word: str) -> RunnerFault:
    if ":" in word:
        name = word.partition(":")[0]
        raise UsageError(f"rehearse: {name} takes neither a count nor arguments", resolution=f"write FAULTS={name}")
    return RunnerFault(word, FAULTS[word].step, word)


def _unknown(word: str) -> UsageError:
    actions = (
        *(f"{name}@<step>" for name in RUNNER_ACTIONS),
        *(f"{name}@<verb>" for name in VERB_FAULTS),
        *ONE_VERB_FAULTS,
        *AT_STEP,
        *AT_LAUNCH,
    )
    return UsageError(
        f"rehearse: there is no fault {word}",
        resolution=f"known: {', '.join(actions)}; steps: {', '.join(STEPS)}; verbs: {', '.join(VERBS)}",
    )


def _file_fault(word: str) -> HomeFault:
    fault = _cloud_fault(word)
    file = str(fault.args.get("file", "state.json"))
    if set(fault.args) - {"file"} or file.startswith("/") or ".." in file.split("/"):
        raise UsageError(
            f"rehearse: {word} names no file of a run's folder",
            resolution=f"write it like FAULTS={fault.name}:file=journal.jsonl",
        )
    return HomeFault(word, fault.name, file)


def _cloud_fault(word: str) -> CloudFault:
    name, *parts = word.split(":")
    count, args = None, {}
    for part in parts:
        if part.isdigit():
            count = int(part)
            continue
        for pair in part.split(";"):
            key, equals, value = pair.partition("=")
            if not equals:
                raise UsageError(
                    f"rehearse: {pair!r} in {word} is neither a count nor key=value",
                    resolution="write it like FAULTS=no_capacity:2 or FAULTS=no_capacity:candidates=all",
                )
            args[key] = _value(value)
    return CloudFault(name, count, args)


def _value(text: str) -> str | float | bool:
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text) if text.lstrip("-").isdigit() else float(text)
    except ValueError:
        return text
