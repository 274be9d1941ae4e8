"""Faults that the exploration has to find: each is planted into the product's own functions, and is plausible."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from runner.errors import CloudError, TeardownError
from runner.guard import guard
from runner.guard.guard import Guard
from runner.lifecycle import by_mark, replan
from runner.lifecycle.steps import destroy, provision
from runner.run.journal import Journal
from runner.safety import account_sweep, terminate
from runner.safety.patience import Patience
from runner.safety.terminate import Terminated
from tests.protocol import rules
from tests.protocol.rules import Step

Patch = pytest.MonkeyPatch
NOTHING = Terminated([], [], [])


class LateJournal(Journal):
    """A journal whose requests are written once there is an answer."""

    def __init__(self, run: Any) -> None:
        super().__init__(run)
        self._kept: list[tuple[str, dict[str, Any]]] = []

    def intent(self, action: str, **facts: Any) -> None:
        self._kept.append((action, facts))

    def answer(self, action: str, **facts: Any) -> None:
        for kept, more in self._kept:
            super().intent(kept, **more)
        super().answer(action, **facts)


def journal_after_create(patch: Patch) -> None:
    patch.setattr(provision, "Journal", LateJournal)


def request_counts_as_answered(patch: Patch) -> None:
    patch.setattr(Journal, "unanswered", lambda self, action: False)


def every_failure_is_a_refusal(patch: Patch) -> None:
    patch.setattr(provision, "is_definite", lambda cloud, err: True)


def one_look_is_enough(patch: Patch) -> None:
    patch.setattr(Patience, "next_look_s", lambda self, waited_s: None)


def mark_by_the_beginning_of_a_name(patch: Patch) -> None:
    patch.setattr(terminate, "belongs_to", lambda run_id, found, name: name.startswith(f"douse-{run_id}"))


def receipt_before_listing(patch: Patch) -> None:
    patch.setattr(destroy, "end_by_mark", lambda ctx, **options: NOTHING)
    patch.setattr(destroy, "_look_at_clouds", lambda ctx, rented_on: {})


def silence_is_nothing_there(patch: Patch) -> None:
    known = terminate.terminate_run

    def without_trouble(*arguments: Any, **options: Any) -> Terminated:
        try:
            return known(*arguments, **options)
        except CloudError:
            return NOTHING

    for module in (by_mark, guard):
        patch.setattr(module, "terminate_run", without_trouble)
    patch.setattr(destroy, "_look_at_clouds", lambda ctx, rented_on: {})


def terraform_alone_terminates(patch: Patch) -> None:
    known = destroy.end_by_mark

    def unless_in_trouble(ctx: Any, **options: Any) -> Terminated:
        if options["trouble"] is not None:
            raise TeardownError("terraform: destroy failed", resolution="-")
        return known(ctx, **options)

    patch.setattr(destroy, "end_by_mark", unless_in_trouble)


def no_host_no_machine(patch: Patch) -> None:
    known = destroy.end_by_mark

    def only_known(ctx: Any, **options: Any) -> Terminated:
        return NOTHING if ctx.host() is None else known(ctx, **options)

    patch.setattr(destroy, "end_by_mark", only_known)
    patch.setattr(destroy, "_look_at_clouds", lambda ctx, rented_on: {})


def lease_never_expires(patch: Patch) -> None:
    patch.setattr(account_sweep, "_end_of_lease", lambda run: None)


def run_without_a_lease_is_never_over(patch: Patch) -> None:
    patch.setattr(account_sweep, "LONGEST_START", 1000 * account_sweep.LONGEST_START)


def sweep_sees_no_runner(patch: Patch) -> None:
    patch.setattr(account_sweep, "holder", lambda run: None)


def lease_of_an_earlier_machine_stays(patch: Patch) -> None:
    patch.setattr(replan, "LEASE_NAME", "another.json")


def sweep_takes_all_that_is_ours(patch: Patch) -> None:
    known = account_sweep.judge

    def abandoned(*arguments: Any) -> account_sweep.Finding:
        found = known(*arguments)
        return account_sweep.Finding(found.resource, found.reason, abandoned=True)

    patch.setattr(account_sweep, "judge", abandoned)


def guard_goes_with_its_runner(patch: Patch) -> None:
    patch.setattr(Guard, "watch", lambda self: "the runner is gone")


def resume_forgets_no_receipt(patch: Patch) -> None:
    patch.setattr(replan, "record_again", lambda ctx, found: ctx.run.host.unlink())


FAULTS: Mapping[Callable[[Patch], None], Callable[[Step], bool]] = {
    journal_after_create: rules.journal_comes_first,
    request_counts_as_answered: rules.receipt_is_true,
    every_failure_is_a_refusal: rules.receipt_is_true,
    one_look_is_enough: rules.receipt_is_true,
    mark_by_the_beginning_of_a_name: rules.ends_ours_alone,
    receipt_before_listing: rules.receipt_is_true,
    silence_is_nothing_there: rules.receipt_is_true,
    terraform_alone_terminates: rules.status_is_a_promise,
    no_host_no_machine: rules.receipt_is_true,
    lease_never_expires: rules.sweep_ends_it,
    run_without_a_lease_is_never_over: rules.sweep_ends_it,
    sweep_sees_no_runner: rules.who_works_is_left_alone,
    lease_of_an_earlier_machine_stays: rules.who_works_is_left_alone,
    sweep_takes_all_that_is_ours: rules.ends_ours_alone,
    guard_goes_with_its_runner: rules.guard_ends_it,
    resume_forgets_no_receipt: rules.receipt_is_true,
}
"""Each fault, and the rule that it breaks first."""
