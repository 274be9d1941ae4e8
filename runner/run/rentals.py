"""The machines that a run rented, or may have rented, over all its tries: by its journal, whatever became of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from runner.run.host_words import is_sane_number

LOOK = "look"
"""The action of a journal line that says what a look at a cloud showed."""
CREATE = "create"
"""The action of a journal line that says when Terraform began to create the first of what was asked for."""
RECLAIMED = "reclaimed"
"""The action of a journal line that says that the machine of the last request was gone before it was handed over."""
USELESS = "useless"
"""The action of a journal line that says that a machine was given up before anything trained on it, and why."""
SET = timedelta(minutes=1)
"""A clock that differs by more than this from what was counted was set; so was one by which a line is so much older."""
LONGEST_COUNT_S = 1e9
"""No computer has counted so many seconds since its start, which are three decades."""
Line = Mapping[str, Any]


@dataclass(frozen=True)
class Rental:
    """A machine, or a request that nobody has answered, and the moments between which its meter ran.

    Attributes:
        cloud: Where it was asked for.
        asked_at: It did not bill before.
        most_usd_per_h: The dearest of the machines that were asked for may cost so much; ``None`` where nobody said.
        machine_id: The cloud's id; ``None`` as long as no answer and no look showed a machine.
        price_usd_per_h: What it costs by the cloud's own word, else by that of Terraform; ``None`` where none is known.
        disk_usd_per_h: What its disk costs besides, by the looks that showed it; ``None`` where they could not say. 0
            where no look of today's Douse has shown it.
        most_disk_usd_per_h: What the disk that was asked for may cost, by the plan: it counts as long as no look has
            shown a machine.
        there_at: It existed by then.
        seen_at: The last moment at which it was there and not stopped, as far as anybody looked.
        gone_at: The first look that showed nothing of it; ``None`` as long as it may exist.
        is_asked: Whether the line that asked for it can be read.
        is_begun: Whether Terraform is known to have begun to create what was asked for.
        is_answered: Whether Terraform has handed a machine back.
        is_shown: Whether a look has shown it.
        is_off: Whether the last look that showed it showed it stopped, or ending after that.
        is_refused: Whether the cloud has said a definite no, so that only a look can show that there is a machine.
        is_set_back: Whether this computer's clock was set back before it was gone: nobody knows how long it billed.
        why_useless: Why it was given up before anything trained on it; ``None`` where it was not.
        moved_by: How far its moments have moved along with this computer's clock, which was set since.
    """

    cloud: str
    asked_at: datetime
    most_usd_per_h: float | None = None
    machine_id: str | None = None
    price_usd_per_h: float | None = None
    disk_usd_per_h: float | None = 0.0
    most_disk_usd_per_h: float = 0.0
    there_at: datetime | None = None
    seen_at: datetime | None = None
    gone_at: datetime | None = None
    is_asked: bool = False
    is_begun: bool = False
    is_answered: bool = False
    is_shown: bool = False
    is_off: bool = False
    is_refused: bool = False
    is_set_back: bool = False
    why_useless: str | None = None
    moved_by: timedelta = timedelta()

    @property
    def is_request(self) -> bool:
        """Whether nobody knows of a machine."""
        return self.machine_id is None and not self.is_answered

    @property
    def has_known_start(self) -> bool:
        """Whether its start is known whatever other lines of the journal said: its request and answer can be read."""
        return self.is_asked and self.is_answered

    @property
    def is_given(self) -> bool:
        """Whether it is a machine that costs nothing by the hour."""
        return self.price_usd_per_h == 0.0 or (self.price_usd_per_h is None and self.most_usd_per_h == 0.0)

    def low_usd(self) -> float:
        """Return the US dollars that its time has cost at least."""
        if self.price_usd_per_h is None or self.there_at is None or self.seen_at is None:
            return 0.0
        return (self.price_usd_per_h + (self.disk_usd_per_h or 0.0)) * _hours(self.there_at, self.seen_at)

    def high_usd(self, now: datetime) -> float | None:
        """Return the US dollars that its time has cost at most; ``None`` where its price or its disk's is unknown."""
        return None if self.limit_usd_per_h is None or self.disk_usd_per_h is None else self.known_usd(now)

    def known_usd(self, now: datetime) -> float:
        """Return the US dollars that its time has cost at most, without what is unknown."""
        return (self.limit_usd_per_h or 0.0) * self.hours(now)

    @property
    def limit_usd_per_h(self) -> float | None:
        """What it may cost an hour with its disk, as far as known: by its price, else the request's ceiling."""
        price = self.most_usd_per_h if self.price_usd_per_h is None else self.price_usd_per_h
        return None if price is None else price + self.disk_at_most_usd_per_h

    @property
    def disk_at_most_usd_per_h(self) -> float:
        """What its disk may cost an hour, as far as known: by the looks, else by the plan."""
        return (self.disk_usd_per_h or 0.0) if self.is_shown else self.most_disk_usd_per_h

    def hours(self, now: datetime) -> float:
        """Return for how long it may have billed, in hours."""
        return _hours(self.asked_at, self.gone_at or now)


def rentals_in(lines: Iterable[Line]) -> list[Rental]:
    """Return what was rented by the lines of a journal, oldest first; lines of older versions say less."""
    found: list[Rental] = []
    before: Line | None = None
    for line in lines:
        at, kind, action = datetime.fromisoformat(str(line["time"])), line["kind"], line["action"]
        found, before = _by_the_clock_of(line, before, found), line
        if (action, kind) == ("provision", "intent"):
            found.append(_request(line, at))
        elif (action, kind) == ("provision", "answer"):
            _answer(found, line, at)
        elif (action, kind) == (CREATE, "intent"):
            _create(found, line, at)
        elif (action, kind) == (RECLAIMED, "answer") and found:
            found[-1] = replace(found[-1], gone_at=found[-1].gone_at or at)
        elif (action, kind) == (USELESS, "answer"):
            found = [replace(one, why_useless=str(line.get("why"))) if _is_named(one, line) else one for one in found]
        elif (action, kind) == (LOOK, "answer"):
            _look(found, line, at)
        elif (action, kind) == ("destroy", "answer") and not line.get("left"):
            found = [one if one.gone_at else replace(one, gone_at=at) for one in found]
    return [one for one in found if not (one.is_request and one.is_refused)]


def _by_the_clock_of(line: Line, before: Line | None, found: list[Rental]) -> list[Rental]:
    """Return what was rented as it looks by the clock that a line was written by.

    Where the clock was set since the line before, by what the computer has counted meanwhile, all moments move along:
    what lies between them stays. Where nobody has counted (another computer, or a start of it, or an older version), a
    time that goes back leaves what is open without an end.
    """
    if before is None:
        return found
    passed = datetime.fromisoformat(str(line["time"])) - datetime.fromisoformat(str(before["time"]))
    meanwhile = counted(before, line)
    if meanwhile is None:
        return [_set_back(one) for one in found] if -passed > SET else found
    return [_moved(one, passed - meanwhile) for one in found] if abs(passed - meanwhile) > SET else found


def counted(before: Line, line: Line) -> timedelta | None:
    """Return the time between two lines as their computer has counted it; ``None`` where it has not."""
    first, second = before.get("clock"), line.get("clock")
    if not isinstance(first, dict) or not isinstance(second, dict) or first.get("boot") != second.get("boot"):
        return None
    begun_s, ended_s = number_or_none(first.get("up_s")), number_or_none(second.get("up_s"))
    if not first.get("boot") or begun_s is None or ended_s is None or not begun_s <= ended_s <= LONGEST_COUNT_S:
        return None
    return timedelta(seconds=ended_s - begun_s)


def until_now(found: Sequence[Rental], last: Line | None, now: Line) -> list[Rental]:
    """Return what was rented by a journal as it looks by the clock of now.

    Args:
        found: As ``rentals_in`` has it.
        last: The last of the journal's lines, or ``None`` where it has none.
        now: The line that would be written now: the clock may have been set since the last one.
    """
    is_counted = last is not None and counted(last, now) is not None
    return _by_the_clock_of(now, last, list(found)) if is_counted else list(found)


def _moved(rental: Rental, by: timedelta) -> Rental:
    """Return a rental all of whose moments are later by so much; where no calendar has them, it has no known end."""
    names = ("asked_at", "there_at", "seen_at", "gone_at")
    moments = {name: getattr(rental, name) for name in names}
    try:
        moved = {name: at + by for name, at in moments.items() if at is not None}
        return replace(rental, moved_by=rental.moved_by + by, **moved)
    except OverflowError:
        return _set_back(rental)


def _set_back(rental: Rental) -> Rental:
    """Return a rental as it is known once the clock was set back: what is open has no known end."""
    return replace(rental, is_set_back=rental.is_set_back or rental.gone_at is None)


def _create(found: list[Rental], line: Line, at: datetime) -> None:
    """Take in that Terraform began: before that it asked for nothing. Its own time is not later than the line's."""
    if found and found[-1].is_request:
        began = min(moment_or_none(line.get("began")) or at, at)
        found[-1] = replace(found[-1], asked_at=max(began, found[-1].asked_at), is_begun=True)


def _answer(found: list[Rental], line: Line, at: datetime) -> None:
    """Take in what came of the last request; a definite no leaves a machine only where a look has shown one."""
    if not found:
        return
    request, machine_id = found[-1], line.get("instance_id")
    if "failed" in line:
        found[-1] = replace(request, is_refused=True)
        return
    if request.is_request and any(_is(one, str(machine_id)) and one.gone_at is None for one in found[:-1]):
        found.pop()  # the machine was there already
    elif line.get("was_there") is True and (request.is_request or request.machine_id == machine_id):
        _take_from_earlier(found)
    elif request.is_request and not request.is_begun:
        _reopen(found)
    index = _index_of(found, request.cloud, str(machine_id or ""))
    known = found[index]
    found[index] = replace(
        known,
        machine_id=known.machine_id or machine_id,
        price_usd_per_h=number_or_none(line.get("price_usd_per_h"))
        if known.price_usd_per_h is None
        else known.price_usd_per_h,
        there_at=known.there_at or at,
        seen_at=known.seen_at or at,
        is_answered=True,
    )


def _reopen(found: list[Rental]) -> None:
    """Let a machine that was handed over, though nobody began to create one, be what an earlier request has made.

    A Terraform whose runner was killed creates on, and a cloud whose listing lags shows nothing of it for a while.
    """
    *earlier, request = found
    for index, known in reversed(list(enumerate(earlier))):
        if known.is_request and known.is_begun and not known.is_refused and known.cloud == request.cloud:
            found[index:] = [*found[index + 1 : -1], replace(known, gone_at=None)]
            return


def _take_from_earlier(found: list[Rental]) -> None:
    """Let a machine that Terraform knew before it was asked have begun with the earlier request that has made it.

    Whether that began is in the journal only if its runner lived to write it. What was seen of the machine since stays.
    """
    *earlier, request = found
    made = [
        (known.is_begun, index)
        for index, known in enumerate(earlier)
        if known.is_request and not known.is_refused and known.cloud == request.cloud
    ]
    if made:
        _, index = max(made)
        known = earlier[index]
        begun = replace(request, asked_at=known.asked_at, is_asked=known.is_asked, is_begun=known.is_begun)
        found[index:] = [*found[index + 1 : -1], begun]


def _look(found: list[Rental], line: Line, at: datetime) -> None:
    """Take in a look: a machine that it shows was there when it began, one that it misses was gone when it ended."""
    cloud, began = str(line.get("cloud")), min(moment_or_none(line.get("began")) or at, at)
    for entry in _rows(line.get("machines")):
        if not any(_is(one, str(entry["id"])) or _is_open(one, cloud) for one in found):
            found.append(_another(found, cloud, began))
        index = _index_of(found, cloud, str(entry["id"]))
        known = found[index]
        is_off = stays_off(entry.get("status"), was_off=known.is_off)
        found[index] = replace(
            known,
            machine_id=str(entry["id"]),
            price_usd_per_h=(None if is_off else number_or_none(entry.get("price_usd_per_h"))) or known.price_usd_per_h,
            disk_usd_per_h=_disk(entry, known),
            there_at=known.there_at or at,
            seen_at=known.seen_at if is_off and known.seen_at else began,
            # A look that missed it was not up to date; one that began before that, and hung, says nothing new.
            gone_at=known.gone_at if known.gone_at is not None and began < known.gone_at else None,
            is_shown=True,
            is_off=is_off,
        )
    for entry in _rows(line.get("gone")):
        for index, known in enumerate(found):
            if _is(known, str(entry["id"])) and known.gone_at is None:
                seen = max(filter(None, (known.seen_at, moment_or_none(entry.get("seen_at")))), default=None)
                found[index] = replace(known, gone_at=at, seen_at=seen and min(seen, at))


def stays_off(status: object, *, was_off: bool) -> bool:
    """Return whether a machine does not run by its status; one that ends after it was stopped has not run meanwhile."""
    return status == "stopped" or (status == "ending" and was_off)


def _disk(entry: Line, known: Rental) -> float | None:
    """Return what a machine's disk costs by a look, else by the look before; lines of older versions say nothing."""
    if "disk_usd_per_h" not in entry:
        return known.disk_usd_per_h
    usd_per_h = number_or_none(entry["disk_usd_per_h"])
    return (known.disk_usd_per_h or None) if usd_per_h is None else usd_per_h


def _another(found: list[Rental], cloud: str, began: datetime) -> Rental:
    """Return a machine more than was asked for: the last request may have been repeated, or a no have been none."""
    requests = [one for one in found if one.cloud == cloud]
    if not requests:
        return Rental(cloud, began)
    last = requests[-1]
    return Rental(cloud, last.asked_at, last.most_usd_per_h, most_disk_usd_per_h=last.most_disk_usd_per_h)


def _index_of(found: list[Rental], cloud: str, machine_id: str) -> int:
    """Return the place of a machine: its own, else that of the oldest open request to its cloud, else the last."""
    own = [index for index, one in enumerate(found) if _is(one, machine_id)][-1:]
    open_ = [index for index, one in enumerate(found) if _is_open(one, cloud)]
    return [*own, *open_, len(found) - 1][0]


def _is_named(rental: Rental, line: Line) -> bool:
    """Return whether a line is about this machine."""
    return rental.machine_id is not None and rental.machine_id == line.get("instance_id")


def _is(rental: Rental, machine_id: str) -> bool:
    return rental.machine_id == machine_id


def _is_open(rental: Rental, cloud: str) -> bool:
    return rental.is_request and not rental.is_refused and rental.cloud == cloud and rental.gone_at is None


def _request(line: Line, at: datetime) -> Rental:
    """Return what was asked for: at most the dearest of the machines, with the dearest of their disks."""
    rows = line["candidates"] if isinstance(line.get("candidates"), list) else []
    ceilings = _numbers(rows, "max_price_usd_per_h")
    disks = _numbers(rows, "disk_usd_per_h")  # lines of older versions have none
    most = max(ceilings) if ceilings and len(ceilings) == len(rows) else None
    cloud, most_disk = str(line.get("environment") or ""), max(disks, default=0.0)
    return Rental(cloud, at, most, most_disk_usd_per_h=most_disk, is_asked=True)


def _numbers(rows: Iterable[object], name: str) -> list[float]:
    found = (number_or_none(row.get(name)) for row in rows if isinstance(row, dict))
    return [number for number in found if number is not None]


def _rows(value: object) -> list[Line]:
    """Return the machines of a look; a line without a checksum may hold anything."""
    return [row for row in value if isinstance(row, dict) and "id" in row] if isinstance(value, list) else []


def number_or_none(value: object) -> float | None:
    """Return a price or a duration as a file has it, or ``None`` where it is none, or one that cannot be."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if is_sane_number(value) and value >= 0 else None


def moment_or_none(value: object) -> datetime | None:
    """Return a time as a file has it, or ``None`` where it is none, or says not how far from UTC it is."""
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return found if found.tzinfo else None


def _hours(begun: datetime, ended: datetime) -> float:
    return max(0.0, (ended - begun).total_seconds() / 3600)
