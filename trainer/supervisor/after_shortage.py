"""What the supervisor does when the trainer ended for lack of memory: start it again, in a fresh process, with less."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trainer.config.recipe import load_recipe
from trainer.errors import EXIT_RESTART, OutOfMemoryError
from trainer.events import EventLog, read_events
from trainer.shortage.forms import Shortage, kernel_kills, shortage_at_end
from trainer.shortage.measures import open_work, take_measure

LOG = "trainer.log"
LONGEST_LOG_BYTES = 64 << 10
"""The end of what the trainer printed is looked at; a library that ends the process says why in its last lines."""
LAST_WORDS = ("run_ended", "out_of_memory")


@dataclass(frozen=True)
class Start:
    """What was there when the trainer was started: its end is judged by what came since.

    Attributes:
        events: Events in the file.
        log_bytes: Length of the log.
        kills: Processes that the kernel had killed for lack of memory.
    """

    events: int
    log_bytes: int
    kills: int


def look(output: Path) -> Start:
    """Return what is there before a start of the trainer."""
    log = output / LOG
    return Start(
        events=len(read_events(output / "events.jsonl")),
        log_bytes=log.stat().st_size if log.exists() else 0,
        kills=kernel_kills(),
    )


def has_less_to_try(config: Path, output: Path, code: int, start: Start) -> bool:
    """Return whether the trainer ended for lack of memory and goes on with less when it is started again.

    A trainer that could speak has chosen what it uses less of. For one that could not (killed by the kernel, or ended
    by a library), it is chosen here; where nothing is left, the run's last event says so.

    Args:
        config: The recipe.
        output: The run's output folder.
        code: Exit status of the trainer; negative for a signal.
        start: What was there when it was started.
    """
    since = read_events(output / "events.jsonl")[start.events :]
    if code == EXIT_RESTART:
        return any(event.get("measure") for event in since)  # else it would go on for ever
    if code == 0 or any(event["event"] in LAST_WORDS for event in since):
        return False
    message = shortage_at_end(code, _log_since(output, start), kernel_kills() - start.kills)
    return message is not None and _take(config, output, Shortage(open_work(output), message))


def _take(config: Path, output: Path, shortage: Shortage) -> bool:
    events = EventLog(output / "events.jsonl")
    try:
        take_measure(output, load_recipe(config), events, shortage)
    except OutOfMemoryError as err:
        words = {"message": err.message, "resolution": err.resolution}
        events.write("run_ended", status="failed", exit_code=err.exit_code, **words)
        return False
    finally:
        events.close()
    return True


def _log_since(output: Path, start: Start) -> str:
    try:
        with (output / LOG).open("rb") as file:
            length = file.seek(0, 2)
            file.seek(max(start.log_bytes, length - LONGEST_LOG_BYTES))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
