"""What a run has of the Hub, pinned: which commits it has, from its plan on and in each of its tries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.clouds.environments import find_environment
from runner.errors import UsageError
from runner.planning.checks.hub import is_on_hub
from runner.run.planned import Plan
from runner.run.run_file import RunFile
from trainer.config.sections import DataSection

if TYPE_CHECKING:
    from runner.planning.checks.examine import Preflight


def pinned(run_file: RunFile, plan: Plan) -> RunFile:
    """Return a run file whose base model and data sets are the very commits that the plan saw, under their names there.

    It is what the run folder keeps, so that a resume asks for these commits and never for the newest ones.

    Args:
        run_file: The run.
        plan: Its plan.
    """
    if plan.data_sets:
        data = DataSection.model_validate(run_file.data.model_dump() | plan.data_sets)
        run_file = run_file.model_copy(update={"data": data})
    if plan.base_model_commit is None:
        return run_file
    update = {"base_model": plan.base_model, "revision": plan.base_model_commit}
    return run_file.model_copy(update={"model": run_file.model.model_copy(update=update)})


def refuse_unpinned(run_file: RunFile, seen: Preflight) -> None:
    """Refuse to rent for a base model of which nobody knows the commit: the machine would take whatever is newest.

    Args:
        run_file: The run.
        seen: What the preflight saw.

    Raises:
        UsageError: If the Hub did not say which commit it is.
    """
    if not is_on_hub(run_file) or not find_environment(run_file.compute.env).bills:
        return
    if seen.hub is None or seen.hub.commit is None:
        why = "HF_HUB_OFFLINE is set" if seen.hub is None or seen.hub.trouble is None else seen.hub.trouble
        wanted = f"{run_file.model.revision or 'main'} of {run_file.model.base_model}"
        raise UsageError(
            f"plan: which commit {wanted} is cannot be asked: {why}",
            resolution="repeat the command once the Hub answers, or set model.revision to a commit (40 digits)",
        )
