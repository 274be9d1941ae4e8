"""Fixtures that more than one package's tests share."""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest

from tests.rclone_remotes import open_remote, rclone, rclone_webdav
from tests.s3_fixtures import open_bucket, s3_client, s3_description, s3_server
from tests.tiny_model import make_tiny_dataset, make_tiny_model
from tests.tools.skips import pytest_terminal_summary

with suppress(ModuleNotFoundError):  # tests/gpu runs where trainers do, without it
    import hypothesis  # noqa: F401 - it looks for who refers to an object, which has to be before `only_new_rubbish`
with suppress(ModuleNotFoundError):  # nor need botocore be there
    from botocore import session

    # Each session of boto3 reads megabytes of JSON anew, and tests make hundreds of them.
    session.create_loader = cache(session.create_loader)

# pytest finds fixtures and hooks by their names.
__all__ = [
    "open_bucket",
    "open_remote",
    "pytest_terminal_summary",
    "rclone",
    "rclone_webdav",
    "s3_client",
    "s3_description",
    "s3_server",
]

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")  # 1,300 images for each emulated account that is opened
os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # threads of so small a model wait for one another, above all on a busy machine
# Images set it, and then each of some hundred programs compiles 4,000 modules of torch and others for itself.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell lets what it starts in the background ignore Ctrl-C, and everything below would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """Return how many workers are right: a third of the fast tests' time goes by waiting for programs."""
    cpus = os.cpu_count() or 1
    return cpus + cpus // 2


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files without the mark that is asked for: importing all of them takes each worker 15 s.

    A mark stands in the file, or is given to a whole folder of its name.
    """
    mark = config.option.markexpr.partition(" ")[0]
    if mark not in {"slow", "rehearsal"} or not collection_path.name.startswith("test_"):
        return None
    has_mark = mark in collection_path.parts or f"mark.{mark}" in collection_path.read_text(encoding="utf-8")
    return None if has_mark else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that are given the longest time: one that begins last is waited for alone."""

    def given_s(item: pytest.Item) -> float:
        mark = item.get_closest_marker("timeout")
        return float(mark.args[0]) if mark is not None and mark.args else 0.0

    items.sort(key=lambda item: -given_s(item))


@pytest.fixture(scope="module", autouse=True)
def only_new_rubbish() -> None:
    """Let the garbage collector look only at what this file's tests make: a million older objects stay anyway."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny random base model (read it, never write into it)."""
    return make_tiny_model(tmp_path_factory.mktemp("tiny-model"))


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with ``train.jsonl`` (60 chat samples) and ``eval.jsonl`` (8)."""
    return make_tiny_dataset(tmp_path_factory.mktemp("tiny-dataset"))
