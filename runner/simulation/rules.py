"""What must hold in every life: functions of what the life left, each a rule of its own.

Money is judged by the cloud's own book, never by what the runner says of it; words and receipts are held to that book.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from runner.emulation.cloud_state import OTHER_KEY, REHEARSAL_KEY
from runner.emulation.machines import EmulatedMachine
from runner.errors import EXIT_DONE, EXIT_LEFTOVERS
from runner.rehearsal.receipt_check import outside_receipt
from runner.simulation.keepers import (
    BOX_GONE,
    boots_for_ever,
    ends_itself,
    guards_follow,
    has_own_end,
    kept_beside,
    kept_too_dear,
    lost_its_end,
    taken_away,
)
from runner.simulation.life import LIFE_S, Ended, Life, end_s
from runner.simulation.notice_rules import people_are_told
from runner.simulation.promises import (
    FINISHING,
    LEASE_S,
    LEFT_ON_PURPOSE,
    NAMES_ADAPTER,
    SAVING_S,
    TO_LOOK_S,
    down_takes_down,
    guard_gaps,
    held_is_kept,
    kept_waiting_s,
    lost_checkpoints,
    one_at_a_time,
    sweep_is_thorough,
)
from runner.simulation.store_rules import store_is_whole
from runner.simulation.terraform import NEIGHBOUR
from runner.simulation.trainer import EPOCH

NEIGHBOURS_NAME = f"douse-{NEIGHBOUR}"
STATUSES = frozenset({0, 1, 2, 3, 130})
ENDING_OR_DRIVING = ("train", "resume", "watch", "down", "terminate")
STAYS = frozenset({"pod_locked", "key_invalid", "stopped_disk_bills"})
"""Faults by which a cloud keeps a machine, whoever asks."""
NO_CHECKPOINT = "is done, and no checkpoint of it is here to go on from"
"""Why a finished run that kept none is not made longer."""
DEFECT = ("a defect of Douse", "Traceback (most recent call last)")


@dataclass(frozen=True)
class Broken:
    """A rule that did not hold.

    Attributes:
        rule: Its name.
        why: What was seen.
    """

    rule: str
    why: str


def judge(life: Life) -> list[Broken]:
    """Return the rules that did not hold in a life; nothing is what one hopes for."""
    return [Broken(name, why) for name, rule in RULES.items() for why in rule(life)]


def worst_cases(life: Life) -> int:
    """Return how many machines billed on to the end as the plan had said that they might."""
    return sum(_was_named(life, machine) for machine in _left(life))


def no_untold_leak(life: Life) -> Iterator[str]:
    """At the end nothing bills of which the user was not told, unless the plan had named that very case."""
    for machine in _left(life):
        if not (_was_told(life, machine) or _was_named(life, machine)):
            yield f"{machine.id} bills on at the end, and nobody was told"
    told = any(one.status == EXIT_LEFTOVERS for one in life.ended)
    is_named = any(end >= LIFE_S for _, end in guard_gaps(life)) and life.ended[-1].status < 0
    for kind, found, name in life.leftovers:
        if kind == "volume" and not (told or is_named or _left(life)):
            yield f"{kind} {found} ({name}) bills on at the end, and nobody was told"
    yield from kept_beside(life)


def time_to_end(life: Life) -> Iterator[str]:
    """A machine whose runner is gone ends soon after its lease, as long as a guard could work."""
    for machine in life.ours:
        since_s = _abandoned_s(life, machine)
        if since_s is None:
            continue
        until_s = since_s + LEASE_S + SAVING_S + TO_LOOK_S + kept_waiting_s(life)
        ended_s = end_s(machine)
        if ended_s > until_s and not _is_excused(life, machine, since_s, until_s):
            yield f"{machine.id} had no runner from {since_s:.0f} s on, and ended at {ended_s:.0f} s only"
    yield from _kept_by_the_stopped(life)
    yield from boots_for_ever(life)
    yield from kept_too_dear(life)
    yield from guards_follow(life)


def _kept_by_the_stopped(life: Life) -> Iterator[str]:
    """Yield the machines that a runner kept which was stopped (Ctrl-Z), and so did nothing."""
    longest_s = LEASE_S + SAVING_S + TO_LOOK_S + kept_waiting_s(life)
    for act in life.script:
        until_s = act.at_s + longest_s
        is_at_work = any(one.began_s <= act.at_s and until_s < one.ended_s for one in life.ended)
        if act.kind != "stop" or act.number < longest_s or not is_at_work:
            continue
        for machine in life.ours:
            made_s = machine.created_at - EPOCH
            ended_s = end_s(machine)
            if made_s < act.at_s and ended_s > until_s and not _is_excused(life, machine, act.at_s, until_s):
                yield f"{machine.id} had a runner that was stopped at {act.at_s:.0f} s, and ended at {ended_s:.0f} s"


def receipt_is_true(life: Life) -> Iterator[str]:
    """Where there is a receipt nothing of the run is left, and the meters lie in its ranges."""
    for receipt, rows in life.receipts:
        mine = [row for row in rows if receipt["run_id"] in row["name"]]
        since_s = [row for row in mine if row["is_billing"]]
        if since_s:
            yield f"{since_s[0]['id']} bills, and there is a receipt of {receipt['checked_at']}"
        else:
            is_whole = not any("journal" in reason for reason in receipt["cost_unknown"])  # else it knows not of all
            yield from (
                line for line in outside_receipt(receipt, rows) if is_whole or "is not in the receipt" not in line
            )
    yield from (f"{left} is there, and there is a receipt" for left in life.beside_receipts)


def work_is_whole(life: Life) -> Iterator[str]:
    """A command that says that all is done has brought the adapter home, and one that nothing happens to says so."""
    is_alone = not life.faults and {act.kind for act in life.script} <= {"type"}
    for one in life.ended:
        is_left = any(words in one.printed for words in LEFT_ON_PURPOSE)
        is_done = one.words[0] in FINISHING and one.status == 0 and not is_left
        if is_done and NAMES_ADAPTER not in one.printed and "is done already" not in one.printed:
            yield f"{one.words[0]} ended with 0 at {one.ended_s:.0f} s, and named no adapter"
        is_wrong = one.status != EXIT_DONE and NO_CHECKPOINT not in one.printed
        if is_alone and one.words[0] in ("train", "resume") and is_wrong:
            yield f"{one.words[0]} ended with {one.status} at {one.ended_s:.0f} s, and nothing had gone wrong"
    yield from life.torn
    yield from lost_checkpoints(life)
    yield from taken_away(life)


def words_are_kept(life: Life) -> Iterator[str]:
    """Exit statuses are the documented ones, and no promise that is none; no defect, no secret."""
    for one in life.ended:
        where = f"{one.words[0]} at {one.ended_s:.0f} s"
        if one.status >= 0 and one.status not in STATUSES:
            yield f"{where} ended with {one.status}"
        if one.traceback or any(words in one.printed for words in DEFECT):
            yield f"{where} shows a defect: {_last_line(one)}"
        if any(key in one.printed for key in (REHEARSAL_KEY, OTHER_KEY)):
            yield f"{where} prints a key"
        if _promises(one) and one.billing:
            yield f"{where} ended with {one.status}, and {one.billing[0]} bills"
    yield from life.exposed
    for path, content in life.files.items():
        if any(key.encode() in content for key in (REHEARSAL_KEY, OTHER_KEY)):
            yield f"{path.rpartition('/')[2]} holds a key"


def nothing_foreign(life: Life) -> Iterator[str]:
    """What belongs to others is as it was."""
    there = {machine.id: machine for machine in life.machines}
    for found in sorted(life.foreign):
        machine = there[found]
        if machine.is_ended or machine.ends_at is not None or machine.name != NEIGHBOURS_NAME:
            yield f"{found} ({machine.name}) is somebody else's, and was touched"


def it_ends(life: Life) -> Iterator[str]:
    """Nobody goes on for ever, and nobody waits for somebody who waits for him."""
    yield from life.troubles
    for name in life.alive:
        if name != "guard":
            yield f"{name} goes on after 48 hours"


RULES: dict[str, Callable[[Life], Iterator[str]]] = {
    "no untold leak": no_untold_leak,
    "time to end": time_to_end,
    "the receipt is true": receipt_is_true,
    "work is whole": work_is_whole,
    "the store is whole": store_is_whole,
    "words are kept": words_are_kept,
    "people are told": people_are_told,
    "nothing foreign": nothing_foreign,
    "one at a time": one_at_a_time,
    "down takes down": down_takes_down,
    "a sweep is thorough": sweep_is_thorough,
    "left is kept": held_is_kept,
    "it ends": it_ends,
}


def _left(life: Life) -> list[EmulatedMachine]:
    """Return our machines that bill at the end."""
    return [machine for machine in life.ours if not machine.is_ended and machine.meter.is_billing]


def _was_told(life: Life, machine: EmulatedMachine) -> bool:
    """Return whether the last command after the machine was made that looked for it said that something may bill."""
    since_s = machine.created_at - EPOCH
    looked = [one for one in life.ended if one.ended_s >= since_s and one.status >= 0]
    return any(one.status == EXIT_LEFTOVERS for one in looked)


def _was_named(life: Life, machine: EmulatedMachine) -> bool:
    """Return whether the plan had named the case: nothing but a guard could end it, and no guard could work."""
    if ends_itself(life.cloud) and not lost_its_end(life, machine):
        return False
    since_s = machine.created_at - EPOCH
    return any(end >= since_s for _, end in guard_gaps(life))


def _is_excused(life: Life, machine: EmulatedMachine, since_s: float, until_s: float) -> bool:
    """Return whether nobody could terminate a machine for a while: no guard and no lease of its own, or the cloud."""
    if life.faults_of_the_cloud & STAYS:
        return True
    if has_own_end(life, machine, until_s) and not life.faults_of_the_cloud & BOX_GONE:
        return False
    return any(begin <= until_s and end >= since_s for begin, end in guard_gaps(life))


def _abandoned_s(life: Life, machine: EmulatedMachine) -> float | None:
    """Return since when nobody drove the run, ``None`` where somebody did, or it was left up on purpose.

    A command that ended with the word that something may bill has left that to its guard.
    """
    made_s = machine.created_at - EPOCH
    before = [one for one in life.ended if one.began_s <= made_s and one.words[0] in ("train", "resume")]
    if not before:
        return None
    owner = before[-1]
    is_over = 0 <= owner.status != EXIT_LEFTOVERS
    if is_over or any(words in owner.printed for words in LEFT_ON_PURPOSE):
        return None
    later = [one.began_s for one in life.ended if one.began_s > made_s and one is not owner]
    if later and min(later) < owner.ended_s + LEASE_S + SAVING_S + TO_LOOK_S:
        return None
    return max(owner.ended_s, made_s)


def _promises(one: Ended) -> bool:
    """Return whether the status of a command promises that nothing bills."""
    if not one.key_is_right and one.words[0] == "sweep":
        return 0 <= one.status != EXIT_LEFTOVERS
    if not one.key_is_right and one.words[0] == "status":
        return one.status == EXIT_DONE
    if one.words[0] not in ENDING_OR_DRIVING or one.status < 0 or one.status == EXIT_LEFTOVERS:
        return False
    return not any(words in one.printed for words in LEFT_ON_PURPOSE)


def _last_line(one: Ended) -> str:
    text = one.traceback or next((line for line in one.printed.splitlines() if line.startswith("error:")), one.printed)
    return (text.strip().splitlines() or [""])[-1][:200]
