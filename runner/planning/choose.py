"""Which machines a run tries, in which order: those that it fits, by what the whole run is expected to cost there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from runner.cloud_api.models import Offer
from runner.planning.candidates import Wanted, WholeRun, choose_offers, planned, suitable
from runner.planning.estimate.cost import check_budget
from runner.planning.estimate.disk import rented_disk_gib
from runner.planning.estimate.finished_run import Row
from runner.planning.estimate.fit import GpuNeed
from runner.planning.estimate.forecast import Forecast, Task, forecast
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
    """

    chosen: tuple[ChosenMachine, ...]
    need: GpuNeed | None = None
    ledger: tuple[Row, ...] = ()

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
) -> Choice:
    """Return the machines to try.

    Args:
        run_file: The run.
        offers: The available machines.
        task: What there is to do; ``None`` where the base model's shape is not known.
        disk_needed_gib: Disk that the machine should have, in GiB.
        ledger: Earlier runs.

    Raises:
        DoesNotFitError: If the run fits none of the GPUs.
        NoCapacityError: If nothing that is listed will do.
        BudgetError: If the run is expected to cost more than its budget wherever it fits.
    """
    compute, limit = run_file.compute, run_file.budget.max_usd
    need = None if task is None or not compute.gpu_required else GpuNeed(run_file, task.shape, task.data)
    wanted = _wanted(run_file, need, disk_needed_gib)
    if need is not None:
        need.check([offer for offer in offers if offer.instance_type in compute.instance_types] or offers)
    if task is None:
        return Choice(tuple(ChosenMachine(planned(one, offers, wanted), one) for one in choose_offers(offers, wanted)))
    known = {offer: forecast(task, compute.env, offer, ledger) for offer in offers}

    def unfit(offer: Offer) -> str:
        return _why_unfit(known[offer], need)

    def barred(offer: Offer) -> str:
        return unfit(offer) or _why_too_dear(known[offer], limit)

    suited = [known[offer] for offer in suitable(offers, wanted, unfit)]
    check_budget({machine_name(found.offer): found.cost for found in suited if found.cost is not None}, limit)
    best = choose_offers(offers, wanted, lambda offer: WholeRun(known[offer].usd, known[offer].hours), barred)
    chosen = [_chosen(planned(offer, offers, wanted), known[offer], task, need) for offer in best]
    return Choice(tuple(chosen), None if need is None else _need_at(need, known[best[0]], task), tuple(ledger))


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
    return replace(need, run_file=task.at(found.micro_batch_rows).run_file, has_bf16=found.has_bf16)


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
    )


def _why_unfit(found: Forecast, need: GpuNeed | None) -> str:
    """Return the reason why a GPU only seems to fit: without bfloat16 the run needs more memory."""
    if need is None or found.fits or found.offer.gpu_memory_gib < need.gpu_gib:
        return ""
    return f"{found.offer.gpu_memory_gib:g} GiB of GPU memory, {found.needed_gib:.1f} needed"


def _why_too_dear(found: Forecast, limit_usd: float | None) -> str:
    """Return the reason why a budget excludes a machine; one of unknown cost is tried after all others."""
    if limit_usd is None or found.cost is None or found.usd <= limit_usd:
        return ""
    return f"the run is expected to cost ${found.usd:.2f} there, budget.max_usd is ${limit_usd:g}"


def machine_name(offer: Offer) -> str:
    """Return the name of a machine: kind, region, spot, trust."""
    return MachineIdentity(offer.instance_type, offer.region, offer.spot, offer.trust).name
