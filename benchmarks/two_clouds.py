"""Kills the machine at a seeded step on AWS, lets the run go on on RunPod, and compares the adapters byte for byte.

Run it with ``python -m benchmarks.two_clouds --seeds 20 --stand-in``. An undisturbed run comes first. Then, for each
seed, the emulated AWS reclaims the machine at a random step of the training and has no other one; the run goes on on
the emulated RunPod from its newest checkpoint. The store is a folder here, or with ``--store`` S3 over TLS in a
manner, to which the machine brings its checkpoints itself. It needs what a rehearsal with real boxes does.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.rehearsed import STAND_IN, need_boxes
from benchmarks.results import PROJECT, table
from runner.emulation.s3.manners import MANNERS
from trainer.files import write_json

if TYPE_CHECKING:
    from runner.rehearsal.verdict import Verdict
    from runner.run.run_dir import RunDir

HOME, ELSEWHERE = "aws", "runpod"
LEARNED = ("adapter_model.safetensors", "learned.txt")
"""What of an adapter has to be the same; the second is what the stand-in for the trainer has learned."""
ALWAYS = (f"compute.recover_on=[{ELSEWHERE}]", "compute.instance_types=[g6.xlarge]", "budget.max_usd=20")
PHASES = ("noticed", "terminated", "rented", "booted", "configured", "first step")
NOTICE_S = 120
STEP_S = 0.3
PACE_S = 0.2
"""RunPod and Lambda are asked so often; the emulators agree."""


@dataclass(frozen=True)
class Training:
    """What is trained.

    Attributes:
        program: Module that is the command line.
        steps: How many steps it has.
        save_steps: Steps between two checkpoints.
        settings: Settings on top of ``ALWAYS``.
        config: The run file, or ``None`` for the stand-in's.
    """

    program: str
    steps: int
    save_steps: int
    settings: tuple[str, ...]
    config: Path | None = None


def counting(steps: int, save_steps: int) -> Training:
    """Return a training by the stand-in, whose steps take ``STEP_S``."""
    tags = f"publishing.tags=[steps={steps}, step_s={STEP_S}, save_steps={save_steps}]"
    return Training(STAND_IN, steps, save_steps, (tags,))


COUNTING = counting(120, 30)
QUICKSTART = Training(
    "runner", 12, 2,
    ("checkpointing.save_steps=2", "evaluation.eval_steps=12", "evaluation.max_eval_samples=2",
     "evaluation.generation_samples=1", "evaluation.max_new_tokens=4"),
    PROJECT / "examples" / "quickstart.yml",
)  # fmt: skip


@dataclass(frozen=True)
class Blow:
    """How a run is hit.

    Attributes:
        seed: What its steps were drawn with; ``None`` for an undisturbed run.
        steps: The steps of the training at which its machine goes.
        notice_s: How long before that the cloud says so; 0 for not at all.
    """

    seed: int | None = None
    steps: tuple[int, ...] = ()
    notice_s: int = 0

    def faults(self) -> str:
        """Return it as ``FAULTS=`` has it."""
        notice = f";notice_s={self.notice_s}" if self.notice_s else ""
        hits = [f"spot_notice@step:step={step}{notice}" for step in self.steps]
        return ",".join([*hits, "no_capacity:candidates=all;when=ended"] if hits else [])


@dataclass
class Found:
    """What a run showed.

    Attributes:
        blow: How it was hit.
        sha256: Of the adapter.
        took_s: From the first machine to the end of the last.
        booted_s: Of these, until each further machine had booted.
        usd: What the clouds' meters show.
        clouds: Where it was, in order.
        lost: Steps that were trained again, for each hit.
        unsaved: Of these, steps since the newest checkpoint that was on the machine.
        phases_s: Seconds from the hit to the next training step, by part; nothing for a run that was hit several times.
        broken: Promises that did not hold.
    """

    blow: Blow
    sha256: str = ""
    took_s: float = 0.0
    booted_s: float = 0.0
    usd: float = 0.0
    clouds: list[str] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    unsaved: list[int] = field(default_factory=list)
    phases_s: dict[str, float] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


def main(argv: Sequence[str] | None = None) -> int:
    """Hit runs as the seeds say and print what came of them; return 1 if an adapter differs or a promise was broken."""
    arguments = make_parser().parse_args(argv)
    need_boxes()
    training = COUNTING if arguments.stand_in else QUICKSTART
    blows = [Blow(), *choose(training, range(1, arguments.notices + 1), notice_s=NOTICE_S)]
    blows += choose(training, range(arguments.first_seed, arguments.first_seed + arguments.seeds))
    found: list[Found] = []
    over_s = time.monotonic() + 60 * arguments.minutes
    with tempfile.TemporaryDirectory(prefix="douse-two-") as scratch:
        for number, blow in enumerate(blows):
            if time.monotonic() > over_s:
                break
            folder = (arguments.folder or Path(scratch)).resolve() / f"try-{number}"
            found.append(play(training, blow, folder, arguments.store))
            print(line(found[-1], found[0]), file=sys.stderr, flush=True)
            if arguments.json:
                write_json(arguments.json, [asdict(one) for one in found])
    print(show(found, training))
    return int(any(one.broken or one.sha256 != found[0].sha256 for one in found))


def make_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.two_clouds", description=main.__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many runs lose their machine without a word (20)")
    parser.add_argument("--first-seed", type=int, default=1, help="the first of these seeds (1)")
    parser.add_argument("--notices", type=int, default=0, help=f"further ones with {NOTICE_S} s of notice (0)")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no further run after so many (no limit)")
    parser.add_argument("--stand-in", action="store_true", help="a trainer that hashes its steps, and no Ansible")
    parser.add_argument("--store", choices=MANNERS, help="store on S3, in this manner (a folder here)")
    parser.add_argument("--folder", type=Path, help="keep everything of every run there")
    parser.add_argument("--json", type=Path, help="file to write the runs to, as they end")
    return parser


def choose(training: Training, seeds: Sequence[int], *, notice_s: int = 0) -> list[Blow]:
    """Return a blow for each seed, at a step that leaves it something to do, and time to hear of a notice."""
    last = training.steps // 2 if notice_s else training.steps * 11 // 12
    return [Blow(seed, (random.Random(seed).randint(1, last),), notice_s) for seed in seeds]


def play(training: Training, blow: Blow, folder: Path, store: str | None = None) -> Found:
    """Let a run be hit, with a store on S3 in a manner or else in a folder; return what it showed."""
    from tests.rehearsal.conftest import make_stage

    folder.mkdir(parents=True)
    os.environ["DOUSE_LAMBDA_PACE_S"] = str(PACE_S)
    stage = make_stage(folder)
    stage.config = training.config or stage.config
    settings = (*ALWAYS, *training.settings, f"compute.recoveries={max(1, len(blow.steps))}")
    settings += (f"compute.spot_enabled={bool(blow.notice_s)}",)
    if store is None:
        settings += (f"store.url=file://{folder / 'store'}",)
    verdict = stage.rehearse(HOME, blow.faults(), *settings, program=training.program, others=[ELSEWHERE], store=store)
    found = read(blow, verdict, stage.run())
    if not found.broken:
        shutil.rmtree(folder / "r1" / "boxes", ignore_errors=True)
    return found


def read(blow: Blow, verdict: Verdict, run: RunDir) -> Found:
    """Return what a run showed, by the clouds' meters, its events, its journal and its adapter."""
    machines = verdict.machines
    found = Found(blow, broken=[*verdict.broken])
    found.usd = sum(row["billed_usd"] for row in machines)
    found.clouds = [row["cloud"] for row in machines]
    found.took_s = machines[-1]["ended_at"] - machines[0]["started_at"]
    events, journal = _story(run), _lines(run.path / "journal.jsonl")
    found.booted_s = sum(_booted_at(row, journal) - row["started_at"] for row in machines[1:])
    found.lost, found.unsaved = lost_steps(events)
    found.sha256 = _digest(run.path / "adapter")
    if verdict.exit_code != 0:
        found.broken.append(f"exit status {verdict.exit_code}")
    if (len(machines), len(found.lost)) == (2, 1):
        state = json.loads((run.path / "state.json").read_bytes())
        found.phases_s = phases(machines, events, journal, state)
    return found


def lost_steps(events: Sequence[Mapping[str, Any]]) -> tuple[list[int], list[int]]:
    """Return how many steps each further start of the trainer has to repeat, and how many were in no checkpoint."""
    lost, unsaved, reached, saved = [], [], 0, 0
    for event in events:
        if event["event"] == "step":
            reached = event["step"]
        elif event["event"] == "checkpoint_saved":
            saved = event["step"]
        elif event["event"] == "run_started" and reached:
            lost.append(reached - event["resumed_from_step"])
            unsaved.append(reached - saved)
            reached = saved = event["resumed_from_step"]
    return lost, unsaved


def phases(
    machines: Sequence[Mapping[str, Any]],
    events: Sequence[Mapping[str, Any]],
    journal: Sequence[Mapping[str, Any]],
    state: Mapping[str, Any],
) -> dict[str, float]:
    """Return the parts of the time from the hit on the only machine before to the next training step, in seconds.

    ``noticed`` lasts until the runner takes the machine for lost, ``terminated`` until it has proved that nothing of it
    is left, ``rented`` until a cloud has given another one, with all that was refused before.
    """
    notices = [_at(event) for event in events if event["event"] == "reclaimed"]
    hit_s = notices[0] if notices else machines[0]["ended_at"]
    ends = [row for row in journal if row["action"] == "destroy" and _at(row) > hit_s]
    starts = [number for number, event in enumerate(events) if event["event"] == "run_started"]
    trained = next(event for event in events[starts[-1] :] if event["event"] == "step")
    moments = (
        next(_at(row) for row in ends if row["kind"] == "intent"),
        next(_at(row) for row in ends if row["kind"] == "answer"),
        machines[-1]["started_at"],
        _booted_at(machines[-1], journal),
        datetime.fromisoformat(state["steps"]["train"]["started_at"]).timestamp(),
        _at(trained),
    )
    return {name: at - before for name, at, before in zip(PHASES, moments, (hit_s, *moments), strict=False)}


def _booted_at(machine: Mapping[str, Any], journal: Sequence[Mapping[str, Any]]) -> float:
    """Return when a machine was there, in Unix time; an end without that is its own."""
    answers = [_at(row) for row in journal if row.get("instance_id") == machine["id"] and row["action"] == "provision"]
    return answers[-1] if answers else float(machine["ended_at"])


def line(one: Found, undisturbed: Found) -> str:
    """Return a run in a line."""
    same = "the same adapter" if one.sha256 == undisturbed.sha256 else "ANOTHER ADAPTER"
    hit = f"hit at {', '.join(map(str, one.blow.steps))}" if one.blow.steps else "undisturbed"
    went = "; ".join([same, *one.broken])
    return f"{time.strftime('%H:%M:%S')} seed {one.blow.seed}, {hit}, {' → '.join(one.clouds)}, lost {one.lost}: {went}"


def show(found: Sequence[Found], training: Training) -> str:
    """Return a table of the runs that were hit, how many adapters are the undisturbed run's, and what was broken."""
    undisturbed, *others = found
    head = ["seed", "notice, s", "killed at step", "steps lost", "of these in no checkpoint", *PHASES, "all, s", "$"]
    rows = [
        [one.blow.seed, one.blow.notice_s, *one.blow.steps, *one.lost, *one.unsaved,
         *(round(one.phases_s[name]) for name in PHASES), round(sum(one.phases_s.values())),
         f"{one.usd:.4f}"]
        for one in others
        if one.phases_s
    ]  # fmt: skip
    same = sum(one.sha256 == undisturbed.sha256 for one in others)
    text = [table(head, rows)] if rows else []
    text.append(
        f"{same} of {len(others)} adapters are the undisturbed run's, SHA-256 {undisturbed.sha256[:16]}…; "
        f"{training.steps} steps, a checkpoint every {training.save_steps}"
    )
    return "\n\n".join([*text, *(f"BROKEN: seed {one.blow.seed}: {word}" for one in found for word in one.broken)])


def _digest(adapter: Path) -> str:
    """Return the SHA-256 over what an adapter has learned; empty without one."""
    found = [adapter / name for name in LEARNED if (adapter / name).is_file()]
    return hashlib.sha256(b"".join(path.read_bytes() for path in found)).hexdigest() if found else ""


def _story(run: RunDir) -> list[dict[str, Any]]:
    """Return the events of all tries: those of a try that left no checkpoint are kept apart."""
    kept = sorted((run.path / "logs").glob("events-*.jsonl"), key=lambda path: int(path.stem.partition("-")[2]))
    return [event for path in (*kept, run.path / "events.jsonl") for event in _lines(path)]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]


def _at(row: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(str(row["time"])).timestamp()


if __name__ == "__main__":
    raise SystemExit(main())
