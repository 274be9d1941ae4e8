"""The class of each error: only a machine that was lost, or is out of reach, is ever followed by another one."""

from __future__ import annotations

import importlib
import pkgutil
from typing import get_args

import pytest

import runner
from runner import errors
from runner.errors import RENTS_AGAIN, Failure, RunnerError

CLASSES: dict[Failure, set[str]] = {
    "machine lost": {"MachineLostError", "NeverUpError", "ReclaimedError"},
    "network": {"ConnectionLostError"},
    "no capacity": {"NoCapacityError"},
    "cloud": {"RateLimitedError", "UnreadableAnswerError", "CloudUnavailableError"},
    "yours": {
        "UsageError",
        "UnknownEnvironmentError",
        "DiskSpaceError",
        "RunNotFoundError",
        "RunLockedError",
        "HostKeyError",
        "TrainingFailedError",
        "NoPlaceError",
        "AccountError",
        "AccessDeniedError",
    },
    "ours": {
        "RunnerError",
        "ToolError",
        "TerraformError",
        "PlaybookFailedError",
        "HostContractError",
        "HostWordsError",
        "TrainerLostError",
        "TransferError",
        "CloudError",
        "AlreadyThereError",
        "BadRequestError",
        "NotFoundError",
        "NoReceiptError",
    },
    "stopped": {"RunInterruptedError", "LeftUpError"},
    "unproved": {"TeardownError", "NoRoomError"},
}
KNOWN = {name: failure for failure, names in CLASSES.items() for name in names}


def all_errors() -> list[type[RunnerError]]:
    """Return every class of errors of the runner, those of its rooms among them."""
    for module in pkgutil.walk_packages(runner.__path__, "runner."):
        if not module.name.endswith("__main__") and ".emulator" not in module.name:
            importlib.import_module(module.name)
    found: list[type[RunnerError]] = [RunnerError]
    for one in found:
        found += [below for below in one.__subclasses__() if below not in found]
    return [one for one in found if one.__module__.startswith("runner.")]


def test_every_error_of_the_table_has_the_class_that_it_is_said_to_have() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, RunnerError)]

    assert {kind.__name__: kind.failure for kind in kinds} == KNOWN
    assert set(CLASSES) == set(get_args(Failure))


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_an_error_of_a_room_has_the_class_of_the_one_it_is_built_on(kind: type[RunnerError]) -> None:
    parents = [one.__name__ for one in kind.__mro__ if one.__module__ == errors.__name__]

    assert kind.failure == KNOWN[parents[0]]


def test_nothing_of_the_users_and_nothing_of_ours_ever_rents_twice() -> None:
    assert set(RENTS_AGAIN) == {"machine lost", "network"}
    assert [kind.__name__ for kind in all_errors() if kind.exit_code not in (1,) and kind.failure in RENTS_AGAIN] == []
