"""What a machine whose owner is no friend does to the runner: it acts on the disk of the box, as its owner could."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

HUGE_BYTES = 1 << 40
OUTSIDE = "douse-was-here"
"""Name of what an attack would make outside the run's folder."""
FLOOD_FILES = 12_000
DEEP_FOLDERS = 40
BURST_BYTES = 8 << 20
BURSTS = 12
"""Together more than a runner takes of one run's events."""
COMMANDS = (f"$(touch {OUTSIDE})", f"; touch {OUTSIDE}", "-rf")
HARMFUL_NAMES = (*COMMANDS, "a\nb", "\x1b]0;title\x07", "{{ 7 * 7 }}", "x" * 250)


@dataclass(frozen=True)
class Attack:
    """One way to harm whoever rents a machine.

    Attributes:
        does: In words.
        step: The step at which it happens.
        act: Gets the run's folder on the machine or, where there is none by that step, the root of its disk.
    """

    does: str
    step: str
    act: Callable[[Path], None]


def _template(root: Path) -> None:
    """Let every Python of the machine answer with a template, whatever it is asked."""
    said = "{{ lookup('pipe', 'touch ~/" + OUTSIDE + "') }}"
    for python in (root / "usr" / "bin").glob("python3*"):
        if python.is_symlink() or os.access(python, os.X_OK):
            python.unlink()
            python.write_text(f"#!/bin/sh\nprintf '%s\\n' \"{said}\"\n")
            python.chmod(0o755)


def _names(run: Path) -> None:
    """Put files among the output whose names mean something to a shell, a terminal or a template."""
    for name in HARMFUL_NAMES:
        (_output(run) / name).write_text("?")


def _links(run: Path) -> None:
    """Put links to files and folders of whoever follows them among the output."""
    adapter = _output(run) / "adapter"
    adapter.mkdir(exist_ok=True)
    for name, target in (("etc", "/etc"), ("key", "../../../../../root/.ssh/id_ed25519"), ("up", "../../..")):
        if not (adapter / name).is_symlink():
            (adapter / name).symlink_to(target)


def _deep(run: Path) -> None:
    """Put a folder in a folder in a folder among the output."""
    deepest = _output(run).joinpath("adapter", *["d"] * DEEP_FOLDERS)
    deepest.mkdir(parents=True, exist_ok=True)
    (deepest / "file").write_text("?")


def _flood(run: Path) -> None:
    """Put more files among the output than any training makes."""
    folder = _output(run) / "adapter"
    folder.mkdir(exist_ok=True)
    for number in range(FLOOD_FILES):
        (folder / f"file-{number}").touch()


def _huge(run: Path) -> None:
    """Put files among the output that are larger than any disk at home; on the machine they take no room."""
    for name in ("adapter", "tensorboard"):
        (_output(run) / name).mkdir(exist_ok=True)
        with (_output(run) / name / "huge").open("wb") as file:
            file.truncate(HUGE_BYTES)


def _endless_events(run: Path) -> None:
    """Append events that say nothing, more than a runner takes of one run."""
    line = json.dumps({"event": "step", "step": 1, "note": "x" * 4000}) + "\n"
    with (_output(run) / "events.jsonl").open("a") as file:
        for _ in range(BURSTS):
            file.write(line * (BURST_BYTES // len(line)))
            file.flush()


def _escapes(run: Path) -> None:
    """Append an event whose text would clear a screen, write a title and fill a clipboard."""
    text = "\x1b[2J\x1b]0;owned\x07\x1b]52;c;b3duZWQ=\x07"
    with (_output(run) / "events.jsonl").open("a") as file:
        file.write(json.dumps({"event": "phase", "name": text, "message": text}) + "\n")


def _output(run: Path) -> Path:
    return run / "output"


ATTACKS: Mapping[str, Attack] = {
    "template": Attack("its Python answers with a template for Ansible", "configure", _template),
    "names": Attack("files among its output have names that mean something to shells and screens", "train", _names),
    "links": Attack("links among its output lead to files of whoever follows them", "train", _links),
    "deep": Attack("folders among its output go 40 deep", "train", _deep),
    "flood": Attack("there are 12,000 files among its output", "train", _flood),
    "huge": Attack("files among its output are of 1 TiB each", "train", _huge),
    "endless_events": Attack("its events have no end", "train", _endless_events),
    "escapes": Attack("an event has sequences that clear a screen and fill a clipboard", "train", _escapes),
}


def attack(name: str, boxes: Path, run_id: str) -> bool:
    """Let every machine of a rehearsal attack; return whether there was one whose run has a folder by now.

    Args:
        name: One of ``ATTACKS``.
        boxes: The folder of the boxes.
        run_id: The run.
    """
    for root in boxes.glob("*/root"):
        runs = [*root.glob(f"home/*/.douse/runs/{run_id}"), root / "root" / ".douse" / "runs" / run_id]
        places = [root] if ATTACKS[name].step == "configure" else [run for run in runs if (run / "output").is_dir()]
        for place in places:
            ATTACKS[name].act(place)
            return True
    return False
