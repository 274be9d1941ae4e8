"""The facts in what a command prints: numbers with units, dates, and names of machines and files; not its words."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from runner.run.run_dir import PROJECT

GOLDEN = PROJECT / "tests" / "golden"
"""What commit c59ff1e printed, before ``plan.json`` had its format 2; plans and comparisons are printed again with
RunPod's prices of 2026-09-09 and lines about a machine's end; a report has the line of useful time."""
OF_THIS_MACHINE = re.compile(
    r"^(\w+\s+(terraform|ansible|disk here)\b|Preflight:|run\s|plan page|\s+plan done after|nothing was started)"
)
"""Lines that say something else on each machine, or at each time."""
GOES_ON = " " * 8
FOLDER = re.compile(r"(?<![\w.])/\S*/")
NAME = re.compile(r"\d{4}-\d\d-\d\d|[A-Za-z0-9][\w.-]*\w")
NUMBER = re.compile(r"(\d[\d,]*(?:\.\d+)?)\s*(%|(?:GiB|MiB|tokens|steps|samples|days|min|s|h|x|rows?)\b)?")


def facts(text: str) -> Counter[str]:
    """Return the facts, each with how often it is there."""
    plain = FOLDER.sub("", "\n".join(_lines(text)).replace("..", " ").replace("$", " "))
    found: Counter[str] = Counter()

    def count_name(match: re.Match[str]) -> str:
        word = match.group()
        if not (re.search(r"\d", word) and re.search(r"[A-Za-z_]|\d-\d", word)) or re.fullmatch(r"\d+x", word):
            return word
        found[word] += 1
        return " "

    for number, unit in NUMBER.findall(NAME.sub(count_name, plain)):
        found[f"{number.replace(',', '').rstrip('.')} {unit}".strip()] += 1
    return found


def golden(name: str) -> Counter[str]:
    """Return the facts of ``tests/golden/<name>.txt``."""
    return facts(Path(GOLDEN, f"{name}.txt").read_text(encoding="utf-8"))


def _lines(text: str) -> list[str]:
    """Return the lines without those of this machine, and without what goes on under them."""
    kept, is_left_out = [], False
    for line in text.splitlines():
        is_left_out = bool(OF_THIS_MACHINE.match(line)) or (is_left_out and line.startswith(GOES_ON))
        if not is_left_out:
            kept.append(line)
    return kept
