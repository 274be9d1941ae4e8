"""The plan of a run: what was found before anything is paid for. ``plan.json`` is written and read here alone.

Two readers: ``read_plan`` for whoever drives a run, to whom a file that is not as expected is an error, and
``lenient_plan`` for pages and the ledger, which take of an odd file what can be taken. Both convert what runs before
format 2 have left.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeVar

from runner.errors import RunNotFoundError
from runner.run.models import Host
from runner.run.run_dir import RunDir, read_json, write_json

if TYPE_CHECKING:
    from pydantic import TypeAdapter

PLAN_NAME = "plan.json"
FORMAT: Final = 2
ANYWHERE = "any"
"""Region of a machine that a cloud may put wherever it has one."""
SECURE = "secure"
"""Whose machine it is where nothing is said: the cloud's own."""
IDENTITY = ("instance_type", "region", "spot", "trust")
Json = Mapping[str, Any]


@dataclass(frozen=True)
class MachineIdentity:
    """What makes a machine the one that was planned.

    Attributes:
        instance_type: The cloud's name of the kind of machine.
        region: Where.
        spot: Whether the cloud may reclaim it.
        trust: ``secure`` or ``community``; ``None`` where nobody says, as of a machine that was handed out.
    """

    instance_type: str
    region: str
    spot: bool
    trust: str | None = SECURE

    def may_be(self, real: MachineIdentity) -> bool:
        """Return whether a machine that was handed out may be this planned one.

        A machine that may be anywhere is somewhere once it is handed out. In any other region than the planned one it
        is another machine: prices differ there.
        """
        same = (self.instance_type, self.spot) == (real.instance_type, real.spot)
        return same and self.region in (real.region, ANYWHERE) and real.trust in (self.trust, None)

    @property
    def name(self) -> str:
        """What the machine is called: kind, region, spot, whose."""
        whose = "" if self.trust in (SECURE, None) else f", {self.trust}"
        where = "" if self.region == ANYWHERE else f" in {self.region}"
        return f"{self.instance_type}{where}{', spot' if self.spot else ''}{whose}"


class Listed(Protocol):
    """A machine with a price."""

    @property
    def identity(self) -> MachineIdentity:
        """Which machine."""

    @property
    def price_usd_per_h(self) -> float | None:
        """What it is listed at."""


L = TypeVar("L", bound=Listed)


def find_planned(machines: Iterable[L], real: MachineIdentity, *, price_usd_per_h: float | None = None) -> list[L]:
    """Return the planned machines that a real one may be, the likeliest first; none where it is not in the plan.

    The only rule of its kind. A machine planned for the very region goes before one that may be anywhere. A machine
    that was handed out does not say whose it is: of two that differ in that alone, the one nearer in price goes first.

    Args:
        machines: The planned machines, in their order.
        real: The machine.
        price_usd_per_h: What it bills, where that is known.
    """

    def unlikeliness(machine: L) -> tuple[bool, float]:
        gap = abs((machine.price_usd_per_h or 0.0) - (price_usd_per_h or 0.0))
        return machine.identity.region != real.region, gap

    return sorted((one for one in machines if one.identity.may_be(real)), key=unlikeliness)


def identity_of(host: Host) -> MachineIdentity:
    """Return which machine was handed out; nobody says whose it is."""
    return MachineIdentity(host.instance_type, host.region, host.spot, trust=None)


@dataclass(frozen=True)
class MicroBatch:
    """What is computed at once.

    Attributes:
        rows: Rows.
        row_tokens: Tokens of the longest row, or ``None`` where no GPU is asked for.
    """

    rows: int
    row_tokens: int | None = None


@dataclass(frozen=True)
class Foreseen:
    """What the run is going to be like on a machine.

    Attributes:
        gpu: Its GPU in the cloud's words; empty where the cloud names none.
        gpu_model: The same as in the table of GPUs; ``None`` where processors train, or the table lacks it.
        gpu_memory_gib: Memory that this GPU is sold with.
        needed_gib: Memory that a GPU has to be sold with for this run.
        fits: Whether the run fits.
        rows_that_fit: The most rows that fit at a time.
        work: The fields of ``Work``.
        durations: ``Durations.to_mapping``, or ``None`` where no speed of the GPU is known.
        cost: ``Cost.to_mapping``, or ``None`` with the durations.
    """

    gpu: str
    gpu_model: str | None
    gpu_memory_gib: float
    needed_gib: float
    fits: bool
    rows_that_fit: int
    work: dict[str, Any]
    durations: dict[str, Any] | None
    cost: dict[str, Any] | None


@dataclass(frozen=True)
class PlannedMachine:
    """A machine to try.

    Attributes:
        instance_type: The cloud's name of the kind of machine.
        region: Where.
        spot: Whether the cloud may reclaim it.
        price_usd_per_h: What it is listed at, in US dollars an hour.
        max_price_usd_per_h: The most that is paid for it, in US dollars an hour.
        trust: Whose machine it is.
        training_limit_h: Hours after which the trainer saves a checkpoint and stops there; ``None`` where nothing is
            rented, and in a plan of before there were such limits.
        hard_end_h: Hours from the request for it after which it has to be over, likewise.
        most_usd: The most that it may cost with its disk until that end, in US dollars, likewise.
        disk_usd_per_h: What its disk costs besides, in US dollars an hour; ``None`` in a plan of an older version.
        micro_batch: What it computes at once; ``None`` where nothing is known of the base model.
        needed_gib_by_part: What the run needs of its GPU, in GiB by part; ``None`` where that is not known.
        forecast: The run there; ``None`` where nothing is known of the base model.
    """

    instance_type: str
    region: str
    spot: bool
    price_usd_per_h: float
    max_price_usd_per_h: float
    trust: Literal["secure", "community"] = "secure"
    training_limit_h: float | None = None
    hard_end_h: float | None = None
    most_usd: float | None = None
    disk_usd_per_h: float | None = None
    micro_batch: MicroBatch | None = None
    needed_gib_by_part: dict[str, float] | None = None
    forecast: Foreseen | None = None

    @property
    def identity(self) -> MachineIdentity:
        """Which machine it is."""
        return MachineIdentity(self.instance_type, self.region, self.spot, self.trust)

    def to_variable(self) -> dict[str, Any]:
        """Return the object of Terraform's ``candidates``, which takes a machine for secure where nothing is said."""
        found: dict[str, Any] = {
            "instance_type": self.instance_type,
            "region": self.region,
            "spot": self.spot,
            "max_price_usd_per_h": self.max_price_usd_per_h,
        }
        return found if self.trust == SECURE else found | {"trust": self.trust}


@dataclass(frozen=True)
class Elsewhere:
    """The run on the cheapest machine of another environment.

    Attributes:
        environment: Which.
        gpu: The machine's GPU in the cloud's words.
        trust: Whose machine it is.
        usd: What the run costs there: ``low``, ``expected`` and ``high``.
        seconds: What it takes there, likewise.
        prices_as_of: Day on which the price was read, or empty.
        stale_days: How old that is, where it is too old to be relied on.
    """

    environment: str
    gpu: str
    trust: str
    usd: dict[str, float]
    seconds: dict[str, float]
    prices_as_of: str
    stale_days: int | None = None


@dataclass(frozen=True)
class Plan:
    """Everything known before anything is installed.

    Attributes:
        environment: Name of the environment.
        base_model: Base model as the run file names it.
        model_files: Local file or folder to stage, or ``None`` for a Hub id.
        model_bytes: Size of the base model, 0 when not known.
        train_samples: Samples to train on.
        eval_samples: Samples to evaluate on.
        data: The data check's summary, as plain data.
        disk_needed_gib: Free disk the machine should have.
        terraform: Path of the Terraform program.
        machines: Machines to try, in this order.
        ssh_ingress_cidrs: Networks that may reach sshd, where the environment opens a firewall.
        elsewhere: The cheapest other environment, where that is known.
        checks: What the preflight saw: name, status, value and remedy of each line.
        most_usd: The most that any of the machines may cost until its end, in US dollars; ``None`` where nothing is
            rented, and in a plan of before there were such ends.
        keep_idle_minutes: Minutes that a machine which was left alone runs on without a trainer, likewise.
        base_model_commit: Commit of a base model of the Hub; ``None`` for any other, where the Hub was not asked, and
            in a plan of before commits were pinned.
        data_sets: ``train_path`` and ``eval_path`` where they name data sets of the Hub, with the commits that were
            seen.
        own_rights: Name of what opens the store to the machine when its keys have ended; ``None`` where nothing does.
        given_remotes: Names of the remotes of rclone's that the machine is given to open the store.
        format: Of the file.
    """

    environment: str
    base_model: str
    model_files: str | None
    model_bytes: int
    train_samples: int
    eval_samples: int
    data: dict[str, Any]
    disk_needed_gib: float
    terraform: str
    machines: tuple[PlannedMachine, ...]
    ssh_ingress_cidrs: tuple[str, ...] = ()
    elsewhere: Elsewhere | None = None
    checks: tuple[dict[str, str], ...] = ()
    most_usd: float | None = None
    keep_idle_minutes: float | None = None
    base_model_commit: str | None = None
    data_sets: dict[str, Any] = field(default_factory=dict)
    own_rights: str | None = None
    given_remotes: tuple[str, ...] = ()
    format: Literal[2] = FORMAT

    @property
    def first(self) -> PlannedMachine:
        """The machine that is tried first."""
        return self.machines[0]

    @property
    def dearest(self) -> PlannedMachine | None:
        """The machine that may cost ``most_usd``; ``None`` where that is not known."""
        return next((one for one in self.machines if one.most_usd is not None and one.most_usd == self.most_usd), None)

    def machines_of(self, host: Host) -> list[PlannedMachine]:
        """Return the planned machines that a machine handed out may be, the likeliest first."""
        return find_planned(self.machines, identity_of(host), price_usd_per_h=host.price_usd_per_h)


def write_plan(run: RunDir, plan: Plan) -> None:
    """Write ``plan.json``."""
    write_json(run.file(PLAN_NAME), asdict(plan))


def has_plan(run: RunDir) -> bool:
    """Return whether the run was planned."""
    return run.file(PLAN_NAME).exists()


def read_plan(run: RunDir) -> Plan:
    """Return the run's plan.

    Raises:
        RunNotFoundError: If there is none, or it is of another version of Douse, or damaged.
    """
    from pydantic import ValidationError  # takes its time to import

    values = read_json(run.file(PLAN_NAME))
    try:
        text = json.dumps(lenient_plan(values or {}))
        return _plan_type().validate_json(text, strict=True)
    except ValidationError as err:
        raise RunNotFoundError(
            f"run: {run.file(PLAN_NAME)} is missing or of another version of Douse",
            resolution="plan again with `make resume`",
            details=str(err),
        ) from err


@cache
def _plan_type() -> TypeAdapter[Plan]:
    """Return what checks a plan; made once, for making it takes longer than a hundred checks."""
    from pydantic import TypeAdapter

    return TypeAdapter(Plan)


def lenient_plan(values: Json) -> Json:
    """Return the object of a ``plan.json`` as today's format has it; what is odd in it stays odd."""
    return values if "format" in values or not values else _from_format_1(values)


@dataclass(frozen=True)
class _Lenient:
    """A machine of a plan of which nothing is taken for granted."""

    identity: MachineIdentity
    price_usd_per_h: float | None
    values: Json


def lenient_machines(plan: Json) -> list[dict[str, Any]]:
    """Return the objects under ``machines`` of a ``lenient_plan``."""
    listed = plan.get("machines")
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def forecast_for(plan: Json, host: Json) -> Json:
    """Return the plan's forecast for the machine that was rented; if it is not in the plan, for the first.

    Args:
        plan: As ``lenient_plan`` returns it.
        host: The object of ``host.json``, of which nothing is taken for granted.

    Returns:
        The object under ``forecast``; empty where there is none.
    """
    machines = lenient_machines(plan)
    known = [_Lenient(_identity(one), _price(one), one) for one in machines if _is_known(one)]
    real = MachineIdentity(
        str(host.get("instance_type")), str(host.get("region")), bool(host.get("spot")), host.get("trust")
    )
    found = find_planned(known, real, price_usd_per_h=_price(host))
    forecast = found[0].values.get("forecast") if found else machines[0].get("forecast") if machines else None
    return forecast if isinstance(forecast, dict) else {}


def _is_known(one: Json) -> bool:
    return isinstance(one.get("instance_type"), str) and isinstance(one.get("spot"), bool)


def _identity(one: Json) -> MachineIdentity:
    return MachineIdentity(str(one["instance_type"]), str(one.get("region")), one["spot"], one.get("trust") or SECURE)


def _price(one: Json) -> float | None:
    price = one.get("price_usd_per_h")
    return float(price) if isinstance(price, int | float) and not isinstance(price, bool) else None


def _from_format_1(old: Json) -> dict[str, Any]:
    """Return a plan of before format 2, which had three parallel lists and words for a terminal."""
    kept = ("environment", "base_model", "model_files", "model_bytes", "data", "disk_needed_gib", "terraform", "checks")
    samples = old.get("samples")
    train, held_out = samples if isinstance(samples, list) and len(samples) == 2 else (None, None)
    return {
        "format": FORMAT,
        **{name: old[name] for name in kept if name in old},
        "train_samples": train,
        "eval_samples": held_out,
        "ssh_ingress_cidrs": old.get("ssh_ingress_cidrs", []),
        "machines": _machines_of_format_1(old),
        "elsewhere": None,
    }


def _machines_of_format_1(old: Json) -> list[dict[str, Any]]:
    """Return the candidates, each with the price in its place of the other list, and what was foreseen for it."""
    first = old.get("estimate")
    forecasts = [one for one in _list(old.get("forecasts")) if isinstance(one, dict)]
    candidates, prices = _list(old.get("candidates")), _list(old.get("prices_usd_per_h"))
    if not candidates:  # of before there were any, or damaged
        candidates = forecasts or ([first] if isinstance(first, dict) else [])
        prices = [one.get("price_usd_per_h") for one in candidates]
    machines = [
        _machine_of_format_1(one, prices[place] if place < len(prices) else None, forecasts)
        for place, one in enumerate(candidates)
        if isinstance(one, dict)
    ]
    if machines:
        _complete_first(machines[0], first if isinstance(first, dict) else {}, old)
    return machines


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else []


def _machine_of_format_1(candidate: Json, price_usd_per_h: Any, forecasts: Sequence[Json]) -> dict[str, Any]:
    def who(one: Json) -> list[Any]:
        return [one.get(name) for name in IDENTITY[:3]] + [one.get("trust", SECURE)]

    foreseen = next((one for one in forecasts if who(one) == who(candidate)), None)
    rows = None if foreseen is None else foreseen.get("micro_batch_rows")
    return {
        **{name: candidate[name] for name in IDENTITY[:3] if name in candidate},
        "trust": candidate.get("trust", SECURE),
        "price_usd_per_h": price_usd_per_h,
        "max_price_usd_per_h": candidate.get("max_price_usd_per_h", price_usd_per_h),
        "micro_batch": None if rows is None else {"rows": rows, "row_tokens": None},
        "needed_gib_by_part": None,
        "forecast": None if foreseen is None else _forecast_of_format_1(foreseen),
    }


def _forecast_of_format_1(foreseen: Json) -> dict[str, Any]:
    left_out = (*IDENTITY, "environment", "price_usd_per_h", "micro_batch_rows")
    kept = {name: value for name, value in foreseen.items() if name not in left_out}
    return kept | {"gpu_model": kept.get("gpu") or None}


def _complete_first(machine: dict[str, Any], estimate: Json, old: Json) -> None:
    """Put what a plan of format 1 knew of its first machine alone where that machine is."""
    if estimate:
        machine["forecast"] = _forecast_of_format_1(estimate) | (machine["forecast"] or {})
    rows, row_tokens = (*_list(old.get("micro_batch")), None, None)[:2]
    if rows and row_tokens:
        machine["micro_batch"] = {"rows": rows, "row_tokens": row_tokens}
    machine["needed_gib_by_part"] = old.get("gpu_memory_gib")
