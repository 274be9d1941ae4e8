"""A life's history as people read it: each line in words, with who did it and whether something went wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from runner.emulation.fault_table import FAULTS
from runner.emulation.machines import EmulatedMachine
from runner.report.wording import duration
from runner.simulation.flaws import FLAW, FLAWS
from runner.simulation.happenings import AT_LAUNCH
from runner.simulation.life import Life
from runner.simulation.script import Act
from runner.simulation.store_acts import STORE_WORDS

USER, RUNNER, CLOUD, STORE_LANE = "you", "runner", "cloud", "store"
LANE_BY_PROCESS = {"guard": "guard", "terraform": "Terraform", "neighbour": "somebody else"}
"""Lanes of the processes that are no command of the user's."""
SECONDS_LENGTH = 10
"""A line of a history begins with so many characters of seconds."""
REQUEST = re.compile(r"(?P<name>\S+) (?P<method>[A-Z]+) (?P<path>/\S*) (?P<status>\d{3})(?: \((?P<fault>[^)]+)\))?")
BOX = re.compile(r"box (?P<box>\S+): (?P<words>.+)")
STORE = re.compile(r"store (?P<verb>has|loses) (?P<key>\S+?)(?: by (?P<who>.+)|, damaged)")
ENDS = re.compile(r"(?P<name>\S+) \d+ ends: (?P<how>.+)")
TYPES = re.compile(r"user types (?P<verb>\S+) with (?P<key>.+)")
KEY_WORDS = {
    "its key": "",
    "another key": " with another account's key",
    "no key": " without a key",
    "its key elsewhere": " in a shell with a cache folder of its own",
}
ACT_WORDS = {
    "kill": "kill -9: the command is gone",
    "kill guard": "the guard is killed as well",
    "lid": "the laptop is closed for {length}",
    "cut": "the laptop is off the network for {length}",
    "interrupt": "Ctrl-C",
    "hang up": "the terminal is closed",
    "stop": "Ctrl-Z, for {length}",
    "kill terraform": "Terraform alone is killed",
    "kill lease": "the lease's program on the machine is killed",
    "set clock": "the laptop's clock is set by {hours:+.1f} h",
    "sweep beside": "a sweep, from another terminal",
    "full disk": "the laptop's disk is full for {length}",
    AT_LAUNCH: "once the cloud has made a machine, {length} later: {words[0]}",
    "damage": "{words[0]} is {words[1]}",
    **STORE_WORDS,
}
ANSWER_WORDS = {
    "answer lost": "does it, and the answer is lost",
    "late": "answers almost a minute late",
    "challenge": "is not reached: a proxy answers with a web page",
}


@dataclass(frozen=True)
class Moment:
    """A line of a history.

    Attributes:
        at_s: When, in seconds from the beginning.
        lane: Who did it, or to whom it happened.
        words: What happened.
        is_bad: Whether something went wrong there.
        is_routine: Whether it is one of many requests that went well.
    """

    at_s: float
    lane: str
    words: str
    is_bad: bool = False
    is_routine: bool = False


def moments(life: Life) -> list[Moment]:
    """Return a life's history in words."""
    acts = {f"happens: {act}": act for act in life.script}
    lanes = {machine.box: machine_lane(life, machine) for machine in life.machines if machine.box is not None}
    return [_moment(float(line[:SECONDS_LENGTH]), line[SECONDS_LENGTH + 1 :], acts, lanes) for line in life.history]


def machine_lane(life: Life, machine: EmulatedMachine) -> str:
    """Return the lane of a machine."""
    name = machine.box or machine.id
    return f"their {name}" if machine.id in life.foreign else f"machine {name}"


def planted(act: Act) -> str:
    """Return an act that is no line of the history, for it waits for its request or its call."""
    if act.kind == "fault":
        return FAULTS[act.words[0]].does
    if act.kind == FLAW:
        return FLAWS[act.words[0]]
    if act.kind == "crash":
        return f"The command is killed at its call {act.number:.0f} of clock, disk, chance or network."
    return ""


def _moment(at_s: float, text: str, acts: Mapping[str, Act], lanes: Mapping[str, str]) -> Moment:
    if text in acts:
        act = acts[text]
        words = ACT_WORDS[act.kind].format(length=duration(abs(act.number)), hours=act.number / 3600, words=act.words)
        return Moment(at_s, STORE_LANE if act.kind in STORE_WORDS else USER, words, is_bad=True)
    if found := TYPES.fullmatch(text):
        return Moment(at_s, USER, f"make {found['verb']}{KEY_WORDS[found['key']]}")
    if found := REQUEST.fullmatch(text):
        return _request(at_s, found)
    if found := BOX.fullmatch(text):
        return Moment(at_s, lanes.get(found["box"], CLOUD), found["words"])
    if found := STORE.fullmatch(text):
        return _stored(at_s, found)
    if found := ENDS.fullmatch(text):
        name = found["name"]
        how = "is killed" if found["how"] == "killed" else f"ends with {found['how'].replace('exit', 'exit status')}"
        lane = LANE_BY_PROCESS.get(name, RUNNER)
        return Moment(at_s, lane, f"make {name} {how}" if lane == RUNNER else how, is_bad=found["how"] == "killed")
    return Moment(at_s, CLOUD, text)


def _stored(at_s: float, found: re.Match[str]) -> Moment:
    is_lost, who, key = found["verb"] == "loses", found["who"], found["key"]
    if who is None:
        return Moment(at_s, STORE_LANE, f"{'loses' if is_lost else 'damages'} {key}", is_bad=True)
    return Moment(at_s, STORE_LANE, f"{who} {'removes' if is_lost else 'writes'} {key}", is_routine=True)


def _request(at_s: float, found: re.Match[str]) -> Moment:
    lane, fault = LANE_BY_PROCESS.get(found["name"], RUNNER), found["fault"]
    is_bad = fault is not None or not found["status"].startswith("2")
    answer = ANSWER_WORDS.get(fault or "", f"answers {found['status']}")
    words = f"{lane} asks {found['method']} {found['path']}, and the cloud {answer}"
    return Moment(at_s, CLOUD, words, is_bad=is_bad, is_routine=not is_bad and found["method"] == "GET")
