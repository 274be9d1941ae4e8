"""Which machines a run tries, in which order: those that it fits, by what the whole run is expected to cost there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from runner.cloud_api.models import Offer
from runner.planning.candidates import Wanted, WholeRun, choose_offers, planned, suitable, where_wanted
from runner.planning.ends import End, Means, check_budget, end_of
from runner.planning.estimate.disk import rented_disk_gib
from runner.planning.estimate.finished_run import Row
from runner.planning.estimate.fit import GpuNeed
from runner.planning.estimate.forecast import Forecast, Task, forecast
from runner.planning.gpu_class import check_named, is_uncertain, why_out
from runner.planning.useless import UselessMachine
from runner.run.planned import MachineIdentity, MicroBatch, PlannedMachine
from runner.run.run_file import RunFile


@dataclass(frozen=True)
class ChosenMachine:
    """A machine to try.

    Attributes:
        planned: As the plan keeps it.
        offer: As the cloud lists it.
        forecast: The run there; ``None`` where nothing is known of the base model.
    """

    planned: PlannedMachine
    offer: Offer
    forecast: Forecast | None = None


@dataclass(frozen=True)
class Choice:
    """The machines to try.

    Attributes:
        chosen: In this order.
        need: What the run needs of the first one's GPU; ``None`` where it needs none, or that is not known.
        ledger: The earlier runs that corrected the forecasts.
        too_early: Names of the machines that are left out because the money would be spent before the run may be over.
    """

    chosen: tuple[ChosenMachine, ...]
    need: GpuNeed | None = None
    ledger: tuple[Row, ...] = ()
    too_early: tuple[str, ...] = ()

    @property
    def forecast(self) -> Forecast | None:
        """The run on the first of the machines, or ``None`` where nothing is known of the base model."""
        return self.chosen[0].forecast

    @property
    def forecasts(self) -> list[Forecast]:
        """The run on each of the machines, in their order, where that is known."""
        return [one.forecast for one in self.chosen if one.forecast is not None]

    @property
    def machines(self) -> tuple[PlannedMachine, ...]:
        """The machines as the plan keeps them."""
        return tuple(one.planned for one in self.chosen)


def choose(
    run_file: RunFile,
    offers: Sequence[Offer],
    task: Task | None,
    *,
    disk_needed_gib: float,
    ledger: Sequence[Row] = (),
    means: Means | None = None,
    useless: Sequence[UselessMachine] = (),
) -> Choice:
    """Return the machines to try, each with its own end.

    Args:
        run_file: The run.
        offers: The available machines.
        task: What there is to do; ``None`` where the base model's shape is not known.
        disk_needed_gib: Disk that the machine should have, in GiB.
        ledger: Earlier runs.
        means: What the run may still use; without it all of its budget.
        useless: Machines that came to nothing of late: others are tried before their like.

    Raises:
        DoesNotFitError: If the run fits none of the GPUs.
        UsageError: If no machine has a wanted name, or nothing can be trained on those that have.
        NoCapacityError: If nothing that is listed will do.
        BudgetError: If the run may cost more than what is left of its budget wherever it fits.
    """
    compute, left = run_file.compute, means or Means(run_file.budget)
    need = None if task is None or not compute.gpu_required else GpuNeed(run_file, task.shape, task.data)
    wanted = _wanted(run_file, need, disk_needed_gib)
    offers = where_wanted(offers, wanted)
    check_named(offers, run_file)
    if need is not None:
        able = [offer for offer in offers if not why_out(offer, run_file)]
        need.check([offer for offer in able if offer.instance_type in compute.instance_types] or able)
    known = {} if task is None else {offer: forecast(task, compute.env, offer, ledger) for offer in offers}
    machines = {offer: planned(offer, offers, wanted) for offer in offers}
    ends = {
        offer: end_of(compute.env, offer, machine, left, wanted.disk_size_gib, _longest_s(known.get(offer)))
        for offer, machine in machines.items()
    }

    def unfit(offer: Offer) -> str:
        return why_out(offer, run_file)

    def barred(offer: Offer) -> str:
        return unfit(offer) or _why_too_early(ends[offer])

    def is_last(offer: Offer) -> bool:
        return is_uncertain(offer, run_file)

    def was_useless(offer: Offer) -> bool:
        return any(one.is_like(offer) for one in useless)

    suited = suitable(offers, wanted, unfit)
    check_budget({machine_name(offer): ends[offer] for offer in suited}, left)
    too_early = tuple(machine_name(offer) for offer in suited if ends[offer].is_too_early)
    if task is None:
        found = choose_offers(offers, wanted, barred=barred, is_last=is_last, was_useless=was_useless)
        return Choice(tuple(ChosenMachine(ends[one].of(machines[one]), one) for one in found), too_early=too_early)
    best = choose_offers(
        offers, wanted, lambda offer: WholeRun(known[offer].usd, known[offer].hours), barred, is_last, was_useless
    )
    chosen = tuple(_chosen(ends[offer].of(machines[offer]), known[offer], task, need) for offer in best)
    return Choice(chosen, None if need is None else _need_at(need, known[best[0]], task), tuple(ledger), too_early)


def _longest_s(found: Forecast | None) -> float | None:
    """Return the upper end of a forecast in seconds, or ``None`` where nothing is foreseen."""
    return None if found is None or found.durations is None else found.durations.total_s.high


def _chosen(machine: PlannedMachine, found: Forecast, task: Task, need: GpuNeed | None) -> ChosenMachine:
    """Return a machine with what the run is going to be like there."""
    there = None if need is None else _need_at(need, found, task)
    complete = replace(
        machine,
        micro_batch=MicroBatch(found.micro_batch_rows, None if there is None else there.row_tokens),
        needed_gib_by_part=None if there is None else {name: round(gib, 3) for name, gib in there.parts_gib.items()},
        forecast=found.to_planned(),
    )
    return ChosenMachine(complete, found.offer, found)


def _need_at(need: GpuNeed, found: Forecast, task: Task) -> GpuNeed:
    """Return the GPU memory that the run needs on a machine, with its micro-batch there."""
    return replace(need, run_file=task.at(found.micro_batch_rows).run_file)


def _wanted(run_file: RunFile, need: GpuNeed | None, disk_needed_gib: float) -> Wanted:
    """Return the request of a run: the settings of the run file and the needs of the run."""
    compute = run_file.compute
    return Wanted(
        instance_types=tuple(compute.instance_types),
        regions=tuple(compute.regions),
        spot_enabled=compute.spot_enabled,
        max_price_usd_per_h=compute.max_price_usd_per_h,
        trust=compute.trust,
        gpu_memory_gib=max(compute.min_gpu_memory_gib, 0.0 if need is None else need.gpu_gib),
        disk_size_gib=rented_disk_gib(run_file, disk_needed_gib),
        waits=compute.wait_minutes > 0,
    )


def _why_too_early(end: End) -> str:
    """Return the reason why a budget excludes a machine; one of which nothing is foreseen is tried after all others."""
    if not end.is_too_early:
        return ""
    return f"the run may cost up to ${end.needed_usd:.2f} there, and ${end.left_usd:.2f} of {end.limit} are left"


def machine_name(offer: Offer) -> str:
    """Return the name of a machine: kind, region, spot, trust."""
    return MachineIdentity(offer.instance_type, offer.region, offer.spot, offer.trust).name
