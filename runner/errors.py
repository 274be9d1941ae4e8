"""Errors of the runner, one class for each cause a user can act on.

``RunnerError``
├── ``UsageError``              exit 2: the command line or the run file asks for what cannot be
│   ├── ``UnknownEnvironmentError``  no such ENV
│   ├── ``DiskSpaceError``           the disk is too small for this run
│   └── ``RunNotFoundError``         no such run
├── ``RunLockedError``          exit 1: another runner drives this run
├── ``ToolError``               exit 1: a program failed, hung or is missing
│   ├── ``TerraformError``           Terraform said no
│   └── ``PlaybookFailedError``      a task of a playbook failed
├── ``HostContractError``       exit 1: an environment's output is not the ``host`` object
├── ``HostKeyError``            exit 1: another machine answers at the address
├── ``HostWordsError``          exit 1: a machine says what nothing here may be made of
├── ``ConnectionLostError``     exit 1: the machine cannot be reached
├── ``TrainingFailedError``     exit 1: the trainer ended with an error
├── ``TrainerLostError``        exit 1: the trainer was killed
│   └── ``MachineLostError``    its machine is gone, by the cloud's own word
├── ``TransferError``           exit 1: what came home is not what was sent
├── ``CloudError``              exit 1: a cloud said no, or said nothing that can be read
│   ├── ``NoCapacityError``          the machine cannot be had now: try the next candidate
│   │   ├── ``NoPlaceError``             there is no network for it there
│   │   └── ``ReclaimedError``           it was handed out, and reclaimed before it had booted
│   ├── ``NeverUpError``             it was handed out, and never came up: it has cost money, and gave nothing
│   ├── ``AlreadyThereError``        the account has one of this name
│   ├── ``RateLimitedError``         too many requests, in spite of waiting
│   ├── ``AccountError``             the account's fault (key, balance, quota): no candidate will do
│   ├── ``AccessDeniedError``        the key may not do this one thing: try the next candidate
│   ├── ``BadRequestError``          the cloud does not take the request as it is
│   ├── ``NotFoundError``            there is no such thing in the account
│   ├── ``UnreadableAnswerError``    an answer does not match its schema: what exists is unknown
│   └── ``CloudUnavailableError``    the cloud is in trouble or out of reach: what was asked may have happened
├── ``NoReceiptError``          exit 1: a machine is gone by its cloud's listing, and that could not be written down
├── ``TeardownError``           exit 3: something of the run may still exist
│   └── ``NoRoomError``              what was made cannot come home, and its machine was left up for now
└── ``RunInterruptedError``     exit 130: stopped on request
    └── ``LeftUpError``              the runner has left, and the run goes on by itself
"""

from __future__ import annotations

import errno
from typing import ClassVar, Literal

from trainer.errors import ExpectedError

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_LEFTOVERS = 3
EXIT_INTERRUPTED = 130
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""What the system says where a disk takes nothing more."""

Failure = Literal["machine lost", "network", "no capacity", "cloud", "yours", "ours", "stopped", "unproved"]
"""The class of a failure decides whether anything is rented again. ``cloud``: it is in trouble, or not understood.
``yours``: data, settings, keys, quotas. ``ours``: a program, a machine or Douse itself does not do what it should.
``unproved``: something may still bill."""
RENTS_AGAIN: tuple[Failure, ...] = ("machine lost", "network")
"""After these another machine is rented, where the run file allows it, once the end of the first was proved."""


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun: ``1 sample``, ``2 samples``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


class RunnerError(ExpectedError):
    """A failure that the runner expects.

    Attributes:
        exit_code: Exit status of the command.
        failure: Its class; every subclass that says nothing has that of its parent.
    """

    exit_code = EXIT_FAILED
    failure: ClassVar[Failure] = "ours"


class UsageError(RunnerError):
    """The command line or the run file asks for what cannot be; nothing was started."""

    exit_code = EXIT_USAGE
    failure = "yours"


class UnknownEnvironmentError(UsageError):
    """There is no environment of this name."""


class DiskSpaceError(UsageError):
    """The disk is too small for this run."""


class RunNotFoundError(UsageError):
    """There is no run of this name."""


class RunLockedError(RunnerError):
    """Another runner drives this run."""

    failure = "yours"


class ToolError(RunnerError):
    """A program failed, hung or is missing."""


class TerraformError(ToolError):
    """Terraform ended with an error."""


class PlaybookFailedError(ToolError):
    """A task of a playbook failed."""


class HostContractError(RunnerError):
    """An environment's output is not the ``host`` object of ``infra/contract/host.schema.json``."""


class HostKeyError(RunnerError):
    """The machine at the address shows another host key than the pinned one."""

    failure = "yours"


class HostWordsError(RunnerError):
    """A machine gave a path, a name or data that must not reach a template, a shell, a path or a screen of ours."""


class ConnectionLostError(RunnerError):
    """The machine cannot be reached, or the connection broke."""

    failure = "network"


class TrainingFailedError(RunnerError):
    """The trainer ended with an error of its own."""

    failure = "yours"


class TrainerLostError(RunnerError):
    """The trainer and its supervisor are gone without a word: they were killed."""


class MachineLostError(TrainerLostError):
    """The cloud says that the machine is gone: reclaimed, stopped, or terminated by someone else."""

    failure = "machine lost"


class TransferError(RunnerError):
    """What arrived does not have the checksums of what was sent."""


class CloudError(RunnerError):
    """A cloud said no, or said nothing that can be read.

    Attributes:
        code: The cloud's own code, or ``None``.
        status: HTTP status of the answer, or ``None`` when there was none.
    """

    def __init__(
        self,
        message: str,
        *,
        resolution: str,
        details: str | None = None,
        code: str | None = None,
        status: int | None = None,
    ) -> None:
        """Keep the three parts, and what the cloud said in numbers."""
        super().__init__(message, resolution=resolution, details=details)
        self.code = code
        self.status = status


NOTHING_RENTED = "nothing was rented"
"""How our provider reports a definite no through Terraform, whose errors are words alone."""
NONE_NOW = f"{NOTHING_RENTED}: none can be had now"
"""The same where another time may do: nothing is wrong with the account, the key or the request."""


NEVER_UP = "the machine was rented and did not come up"
"""How our provider reports such a machine through Terraform."""


class NeverUpError(CloudError):
    """The machine was handed out, and nobody could ever log in: it has cost money, and another may do."""

    failure = "machine lost"


class NoCapacityError(CloudError):
    """The machine cannot be had now; another candidate may."""

    failure: ClassVar[Failure] = "no capacity"


class NoPlaceError(NoCapacityError):
    """The account has no network there in which the machine could stand; elsewhere it may have one."""

    failure = "yours"


class ReclaimedError(NoCapacityError):
    """The machine was handed out and is gone before it had booted: reclaimed, or shut down by the cloud."""

    failure = "machine lost"


class AlreadyThereError(CloudError):
    """The account has one of this name; where the name is a run's own, an answer was lost or a deletion undone."""


class RateLimitedError(CloudError):
    """The cloud refuses for too many requests, in spite of all waiting."""

    failure = "cloud"


class AccountError(CloudError):
    """The key, the balance or the quota of the account: no candidate will do before a person has acted."""

    failure = "yours"


class AccessDeniedError(CloudError):
    """The key is good, but may not do this one thing; another candidate may do."""

    failure = "yours"


class BadRequestError(CloudError):
    """The cloud does not take the request as it is; asking again is of no use."""


class NotFoundError(CloudError):
    """There is no such thing in the account (any more)."""


class UnreadableAnswerError(CloudError):
    """An answer does not match its schema: what exists is unknown, which is never the same as nothing."""

    failure = "cloud"


class CloudUnavailableError(CloudError):
    """The cloud is in trouble or out of reach; what was asked for may have happened all the same."""

    failure = "cloud"


REFUSALS = (AccessDeniedError, AccountError, AlreadyThereError, BadRequestError, NoCapacityError, RateLimitedError)
"""What a cloud says when it has rented nothing; after any other error it may have."""


class TeardownError(RunnerError):
    """Something of the run may still exist; the message says what, the resolution how to end it."""

    exit_code = EXIT_LEFTOVERS
    failure = "unproved"


class NoRoomError(TeardownError):
    """What was made cannot come home, for this computer's disk takes nothing: its machine was left up for a while."""


class NoReceiptError(RunnerError):
    """By its cloud's own listing nothing of the run is left, but its folder takes no receipt."""


class RunInterruptedError(RunnerError):
    """The run was stopped on request."""

    exit_code = EXIT_INTERRUPTED
    failure = "stopped"


class LeftUpError(RunInterruptedError):
    """The runner has left on purpose; the run goes on by itself, and what that costs was shown."""
