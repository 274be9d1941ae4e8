"""Errors of the trainer, one class for each cause a user can act on.

``ExpectedError``          what the trainer's and the runner's own errors share
``TrainerError``
├── ``ConfigError``        exit 2: the recipe is wrong
├── ``DataError``          exit 2: a data file is wrong
├── ``BaseModelError``     exit 2: the base model cannot be found, read or used with this recipe
├── ``CheckpointError``    exit 1: no checkpoint can be resumed from
├── ``TrainingError``      exit 1: training cannot go on (not-a-number loss, no gradient)
├── ``OutOfMemoryError``   exit 1: memory is short, and nothing is left to make smaller
├── ``RestartError``       exit 71: memory was short; the next start of the trainer uses less
├── ``WorkerError``        exit 1: a process that helps was killed
├── ``StoreError``         exit 1: the store cannot be reached, refuses, or holds nothing whole
├── ``AcceptanceError``    exit 1: the adapter was made, but does not prove to work
└── ``InterruptedRunError``  exit 75: stopped on request, a checkpoint is on disk
"""

from __future__ import annotations

from collections.abc import Sequence

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_RESTART = 71
"""Out of memory, with a measure taken: start again with ``--resume``. ``EX_OSERR`` of ``sysexits.h``."""
EXIT_INTERRUPTED = 75
"""Interrupted, resumable. ``EX_TEMPFAIL`` of ``sysexits.h``: try again later."""


class ExpectedError(Exception):
    """A failure that was expected, in words a user can act on.

    Attributes:
        message: One line: what failed and the value.
        resolution: One imperative line: what to do.
        details: The words of the tool that failed, or ``None``.
        lines: What else to show below the message, a line each: the other problems of the same kind.
        exit_code: Exit status of the process that lets the error through.
    """

    exit_code = EXIT_FAILED

    def __init__(self, message: str, *, resolution: str, details: str | None = None, lines: Sequence[str] = ()) -> None:
        """Keep the parts; ``str()`` gives the message alone."""
        super().__init__(message)
        self.message = message
        self.resolution = resolution
        self.details = details
        self.lines = tuple(lines)


class TrainerError(ExpectedError):
    """A failure that the trainer expects."""


class ConfigError(TrainerError):
    """The recipe cannot be used as it is written."""

    exit_code = EXIT_USAGE


class DataError(TrainerError):
    """A data file cannot be used as it is written."""

    exit_code = EXIT_USAGE


class BaseModelError(TrainerError):
    """The base model cannot be found, read or used with this recipe."""

    exit_code = EXIT_USAGE


class CheckpointError(TrainerError):
    """No checkpoint verifies, or the one that does belongs to another run."""


class TrainingError(TrainerError):
    """Training cannot go on."""


class OutOfMemoryError(TrainingError):
    """Memory is short, and nothing is left to make smaller."""


class RestartError(TrainerError):
    """Memory was short; the next start of the trainer, in a fresh process, uses less."""

    exit_code = EXIT_RESTART


class WorkerError(TrainerError):
    """A process that helps this one was killed."""


class StoreError(TrainerError):
    """The store cannot be reached, refuses, or holds nothing that is whole."""


class AcceptanceError(TrainerError):
    """The saved adapter does not prove to work."""


class InterruptedRunError(TrainerError):
    """Training stopped on request; the newest checkpoint is complete."""

    exit_code = EXIT_INTERRUPTED
