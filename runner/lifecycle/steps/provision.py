"""Provision: Terraform hands out the machine; the intent stands in the journal before."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from runner.adapters.terraform import STATE_FILE
from runner.cloud_api.environment import Environment
from runner.cloud_api.labels import resource_name
from runner.clouds.registry import endpoint_of, open_cloud
from runner.context import Context
from runner.errors import (
    AlreadyThereError,
    CloudError,
    ConnectionLostError,
    Failure,
    MachineLostError,
    NoCapacityError,
    NoPlaceError,
    ReclaimedError,
    TerraformError,
)
from runner.lifecycle import guarding
from runner.lifecycle.by_mark import end_by_mark
from runner.lifecycle.capacity import rent_patiently, waits
from runner.lifecycle.cloud_words import cause_of, in_its_words, is_definite
from runner.lifecycle.lookout import open_looks, until_over, until_shown
from runner.lifecycle.lost_machine import machine_gone
from runner.lifecycle.terraform_inputs import hard_end, rented_until, terraform_of, variables
from runner.run.host_contract import parse_host
from runner.run.journal import Journal
from runner.run.models import Host
from runner.run.planned import PlannedMachine
from runner.run.rentals import CREATE, RECLAIMED
from runner.run.run_dir import write_json
from runner.safety.proof import account_facts

PRICE_TOLERANCE = 1.005
ANSWER_S = 300.0
"""What the question before renting may take from the life of a machine; after that its end is worked out anew."""
COUNTS: tuple[Failure, ...] = ("machine lost", "no capacity", "yours")
"""A machine that was reclaimed has cost money: that comes before one to be had later, a missing network last."""
LOGIN_RETRY_S = 3.0
LOGIN_LOOK_AFTER_S, LOGIN_LOOK_EVERY_S = 300.0, 60.0
"""A machine that has not answered for longer than most boots take may be gone; how often its cloud is asked then."""
LOGIN_PATIENCE_S = 120.0
"""How long the first login is tried after sshd was seen: it answers before the boot has put everything in its place."""


def provision(ctx: Context) -> Host:
    """Carry out Terraform's plan and return the machine.

    Raises:
        TerraformError: If Terraform failed.
        NoCapacityError: If none of the candidates can be had.
        HostContractError: If what it handed back is no host.
        ConnectionLostError: If the machine does not answer.
        HostKeyError: If another machine answers.
    """
    environment, machines = ctx.environment, ctx.plan.machines
    if environment.rents_machine and not ctx.run.host.exists():
        ctx.run.known_hosts.unlink(missing_ok=True)  # a new machine has a new key
        if _was_kept_waiting(ctx, machines):
            _plan(ctx, machines)
    host = rent_patiently(ctx, partial(_rent, ctx), partial(_rent, ctx, is_planned=False))
    _log_in(ctx, host, _login_patience_s(ctx, environment))
    return host


def _rent(ctx: Context, machines: Sequence[PlannedMachine], *, is_planned: bool = True) -> Host:
    """Rent the first of the machines that can be had, by the plan that Terraform has or by one that it makes now."""
    if not ctx.environment.tries_candidates:
        return _go_down_the_list(ctx, machines, is_planned=is_planned)
    if not is_planned:
        _plan(ctx, machines)
    with in_its_words(ctx.environment.name):
        return _create(ctx, machines)


def _was_kept_waiting(ctx: Context, machines: Sequence[PlannedMachine]) -> bool:
    """Return whether the ends of the machines were worked out long ago, or by a clock that was set since."""
    ends = rented_until(ctx)
    return ends is not None and abs(max(hard_end(ctx, one) for one in machines) - ends) > timedelta(seconds=ANSWER_S)


def _login_patience_s(ctx: Context, environment: Environment) -> float:
    """Return how long the first login may take; where Terraform does not wait for sshd, that is the whole boot."""
    if not environment.rents_machine:
        return 0.0
    boot_s = ctx.run_file.compute.boot_timeout_minutes * 60
    return min(boot_s, LOGIN_PATIENCE_S) if environment.waits_for_sshd else boot_s


def _go_down_the_list(ctx: Context, machines: Sequence[PlannedMachine], *, is_planned: bool = True) -> Host:
    """Try one candidate after the other where one apply takes one: until there is capacity, or none is left."""
    was_cleared, refusals = False, list[NoCapacityError]()
    while True:
        try:
            if not is_planned:
                _plan_anew(ctx, machines)
            return _create(ctx, machines)
        except TerraformError as err:
            cause = cause_of(ctx.environment.name, err)
            if cause is None:
                raise
            is_planned = False
            if isinstance(cause, AlreadyThereError) and not was_cleared:
                # The name is the run's own: what has it is this run's, made by a request whose answer was lost and
                # which was repeated, or left by the candidate before. Terraform's state does not know of it.
                was_cleared = True
                ctx.view.line(f"{cause.message}; terminating what this run has left there, then trying again")
                end_by_mark(ctx, outcome_unknown=False)
            elif isinstance(cause, NoCapacityError):
                was_cleared, refusals = False, [*refusals, cause]
                refused, *machines = machines
                if not machines:
                    raise _what_counts(ctx, refusals) from err
                ctx.view.line(f"{_why_not(refused, cause)}; trying the next one")
            else:
                raise cause from err


def _what_counts(ctx: Context, refusals: Sequence[NoCapacityError]) -> NoCapacityError:
    """Return the refusal to report of all: the last, or the one that decides whether the run waits."""
    return min(refusals, key=lambda one: COUNTS.index(one.failure)) if waits(ctx) else refusals[-1]


def _why_not(machine: PlannedMachine, cause: NoCapacityError) -> str:
    """Return why a machine is not tried again."""
    if isinstance(cause, (NoPlaceError, ReclaimedError)):
        return f"{machine.instance_type} in {machine.region}: {cause.message}"
    return f"{machine.instance_type} is not available in {machine.region} now"


def _plan_anew(ctx: Context, machines: Sequence[PlannedMachine]) -> None:
    """Take back what the refused candidate left (a key, a firewall), then plan for the next, maybe elsewhere."""
    terraform = terraform_of(ctx, "provision", cancel=ctx.stop.wants_out)
    with until_over(ctx, open_looks(ctx)):
        terraform.destroy()
    _plan(ctx, machines)


def _plan(ctx: Context, machines: Sequence[PlannedMachine]) -> None:
    """Make Terraform's plan for these machines, with ends that count from now."""
    terraform = terraform_of(ctx, "provision", cancel=ctx.stop.wants_out)
    terraform.write_variables(variables(ctx, machines))
    terraform.make_plan()


def _create(ctx: Context, machines: Sequence[PlannedMachine]) -> Host:
    journal = Journal(ctx.run)
    guarding.asks(ctx)
    journal.intent(
        "provision",
        run_id=ctx.run.run_id,
        environment=ctx.environment.name,
        name=resource_name(ctx.run.run_id),
        endpoint=endpoint_of(ctx.environment.name, ctx.world.environ) if ctx.environment.bills else None,
        **_account(ctx),
        candidates=[one.to_variable() | {"disk_usd_per_h": one.disk_usd_per_h} for one in machines],
    )
    on_start = partial(_note_start, journal) if ctx.environment.bills else None
    known_before = ctx.run.file(f"{ctx.run.terraform.name}/{STATE_FILE}").read_or_nothing()
    terraform = terraform_of(ctx, "provision", cancel=ctx.stop.wants_out, on_start=on_start)
    try:
        with until_shown(ctx):
            terraform.apply_plan()
    except TerraformError as err:
        if is_definite(ctx.environment.name, err):
            journal.answer("provision", failed=err.message)
            guarding.rented(ctx)
        elif isinstance(cause_of(ctx.environment.name, err), ReclaimedError):
            journal.answer(RECLAIMED, why=err.message)  # the next machine is none of this request's
        raise
    host = parse_host(terraform.outputs().get("host"))
    write_json(ctx.run.host, host.to_mapping())
    # A Terraform whose runner was killed may have made it, and written it down after the run was taken down.
    is_known = bool(host.instance_id) and str(host.instance_id).encode() in known_before
    journal.answer("provision", instance_id=host.instance_id, price_usd_per_h=host.price_usd_per_h, was_there=is_known)
    guarding.rented(ctx)
    _check_price(ctx, host)
    return host


def _note_start(journal: Journal, began: str) -> None:
    """Write down when Terraform began to create; a disk that takes no line must not cut Terraform short."""
    try:
        journal.intent(CREATE, began=began)
    except OSError:
        return  # the request counts from its own line, which is there


def _account(ctx: Context) -> dict[str, str]:
    """Return what the intent says of the account that is asked: teardown has to ask the same one."""
    return account_facts(open_cloud(ctx.environment.name, ctx.world), ctx.world) if ctx.environment.bills else {}


def _check_price(ctx: Context, host: Host) -> None:
    """Refuse a machine that bills more than the dearest of the planned machines that it may be was to cost.

    One that is not in the plan was never to cost anything.
    """
    most = max((one.max_price_usd_per_h for one in ctx.plan.machines_of(host)), default=0.0)
    if host.price_usd_per_h > most * PRICE_TOLERANCE and ctx.environment.bills:
        raise CloudError(
            f"provision: {host.cloud} bills {host.instance_type} at ${host.price_usd_per_h:.2f}/h, "
            f"more than the limit of ${most:.2f}/h",
            resolution="raise compute.max_price_usd_per_h, or run `make train` again later",
        )


def _log_in(ctx: Context, host: Host, patience_s: float) -> None:
    """Log in once; that pins the host key where the cloud could not report it.

    Raises:
        MachineLostError: If the cloud says that it has no such machine any more.
    """
    machine, began_s = ctx.machine(host), ctx.world.monotonic_s()
    look_s = began_s + LOGIN_LOOK_AFTER_S
    try:
        while True:
            try:
                ctx.view.line(f"machine: {machine.name} (home {machine.home})")
                return
            except ConnectionLostError as err:
                now_s = ctx.world.monotonic_s()
                if now_s >= began_s + patience_s:
                    raise
                if now_s >= look_s:
                    look_s = now_s + LOGIN_LOOK_EVERY_S
                    if (gone := machine_gone(ctx)) is not None:
                        again = f"rent another one with `make resume RUN={ctx.run.run_id}`"
                        raise MachineLostError(f"provision: {gone}", resolution=again) from err
                ctx.stop.check()
                ctx.stop.wait(LOGIN_RETRY_S)
    finally:
        machine.close()
