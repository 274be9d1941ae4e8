"""The ledger: the user's own finished runs, and how they correct the next estimate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from runner.planning.estimate.duration import Correction
from runner.planning.estimate.finished_run import Row, read_row
from runner.run.run_dir import RunDir

MOST_RUNS = 200
"""Runs that are looked at, the newest: older ones say little of today's clouds."""
MOST_ALIKE = 10
"""Runs that an estimate is corrected by, the newest of the nearest kin."""
FIXED_PHASES = ("boot", "environment", "teardown")
"""Phases that take the same however large the run is."""
SCALED_PHASES = ("weights", "evaluation", "upload")
ALIKE_IN_LENGTH = 2.0
"""Runs are of about the same length if neither trains on more than so many times the tokens of the other."""
Kin = Callable[[Row], bool]
"""Whether a run is near enough to the planned one."""


def read_ledger(runs: Sequence[RunDir], *, is_emulated: bool | None = False) -> list[Row]:
    """Return the finished runs among the newest, newest first; what cannot be read is left out, never fatal.

    Args:
        runs: Run folders, oldest first, as ``list_runs`` gives them.
        is_emulated: Whether those on emulated clouds are wanted, which say nothing of the others, nor these of them;
            ``None`` returns both.
    """
    found = (read_row(run) for run in reversed(runs[-MOST_RUNS:]))
    return [row for row in found if row is not None and is_emulated in (None, row.is_emulated)]


def correction(
    rows: Sequence[Row], *, environment: str, instance_type: str, model: str, gpu: str | None, train_tokens: int
) -> Correction:
    """Return how earlier runs correct an estimate: those of the nearest kin, for speed and phases apart.

    The order is: the same model on the same machine of a cloud, the same model on the same GPU, the same GPU, the same
    environment. A run that trained without a GPU says nothing of one with a GPU, except on the very same machine.

    What training takes besides its tokens depends on how often a run evaluates: only runs of half to twice the tokens
    count.

    Args:
        rows: The ledger, newest first.
        environment: Where the planned run is to go.
        instance_type: Its machine.
        model: Its base model.
        gpu: Its GPU as in ``gpu_specs.csv``, or ``None``.
        train_tokens: Tokens that it trains on.
    """
    here, around = _same_machine(environment, instance_type), _same_environment(environment, gpu)
    tiers: dict[str, Kin] = {
        f"{model} on {instance_type}": lambda row: row.model == model and here(row),
        f"{model} on {gpu}": lambda row: row.model == model and gpu is not None and row.gpu == gpu,
        f"{gpu}": lambda row: gpu is not None and row.gpu == gpu,
        environment: around,
    }
    fast = [row for row in rows if row.tokens_per_s and (row.model == model or row.speed_ratio)]
    alike, kin = _nearest(fast, tiers)
    ratios = {phase: _ratios(alike, phase) for phase in SCALED_PHASES}
    seconds = {phase: _seconds(_nearest(rows, {"": here, " ": around}, phase)[0], phase) for phase in FIXED_PHASES}
    seconds |= {phase: _seconds([row for row in alike if row.model == model], phase) for phase in SCALED_PHASES}
    known = {phase: values for phase, values in seconds.items() if values and not ratios.get(phase)}
    has_ratios = all(row.speed_ratio for row in alike)
    return Correction(
        tokens_per_s=() if has_ratios else tuple(row.tokens_per_s for row in alike if row.tokens_per_s),
        speed_ratios=tuple(row.speed_ratio for row in alike if row.speed_ratio) if has_ratios else (),
        seconds=known,
        ratios={phase: values for phase, values in ratios.items() if values},
        train_factors=_train_factors((row for row in alike if row.model == model), train_tokens),
        basis=f"{len(alike)} earlier run(s): {kin}" if alike else ("earlier runs of other models" if known else ""),
    )


def _same_machine(environment: str, instance_type: str) -> Kin:
    return lambda row: (row.environment, row.instance_type) == (environment, instance_type)


def _same_environment(environment: str, gpu: str | None) -> Kin:
    return lambda row: row.environment == environment and (row.gpu is None) == (gpu is None)


def _nearest(rows: Sequence[Row], tiers: Mapping[str, Kin], phase: str | None = None) -> tuple[list[Row], str]:
    """Return the newest rows of the first tier that has any (that know a phase), and the tier's name."""
    for kin, belongs in tiers.items():
        found = [row for row in rows if belongs(row) and (phase is None or phase in row.seconds)]
        if found:
            return found[:MOST_ALIKE], kin
    return [], ""


def _seconds(rows: Iterable[Row], phase: str) -> tuple[float, ...]:
    return tuple(row.seconds[phase] for row in rows if phase in row.seconds)


def _train_factors(rows: Iterable[Row], train_tokens: int) -> tuple[float, ...]:
    least, most = train_tokens / ALIKE_IN_LENGTH, train_tokens * ALIKE_IN_LENGTH
    near = (row for row in rows if row.train_tokens and least <= row.train_tokens <= most)
    return tuple(row.train_factor for row in near if row.train_factor)


def _ratios(rows: Iterable[Row], phase: str) -> tuple[float, ...]:
    return tuple(
        row.seconds[phase] / row.table_seconds[phase]
        for row in rows
        if phase in row.seconds and row.table_seconds.get(phase, 0.0) > 0
    )
