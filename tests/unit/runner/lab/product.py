"""The product's own trainer on a rented machine, with the stand-in in the place of its training alone.

Supervisor, outbox and stall watch are the product's, as its command line starts them. What they import is taken from
the interpreter that runs this, which therefore has to be of the boxes' version: some of it is compiled.
"""

from __future__ import annotations

import sys
import tarfile
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from runner.adapters.machine import Machine
from runner.run.run_dir import PROJECT

STAND_IN = Path(__file__).parent / "fake" / "trainer" / "__main__.py"
BOX_PYTHON = (3, 11)
PACKAGES = (
    *("annotated_types", "boto3", "botocore", "dateutil", "jmespath", "psutil", "pydantic", "pydantic_core"),
    *("s3transfer", "six", "typing_extensions", "typing_inspection", "urllib3", "yaml"),
)
SERVICES = ("s3",)
"""Those of boto3's descriptions that go along; all of them are 30 MB."""
STALL_S = 6.0
"""In place of the ten minutes and the half hour that a loop may stand still, where a rehearsal waits for that."""
STALLS_SOON = f"""from trainer.supervisor import stall
stall.FLOOR_S = stall.FIRST_S = {STALL_S}
"""
COMMAND_LINE = """import sys
from trainer import product, stand_in
sys.exit(stand_in.main() if sys.argv[1] == "train" else product.main())
"""


def bring_product(machine: Machine, folder: str, *, stalls_soon: bool) -> None:
    """Put the product's trainer, and what it imports, into a folder of a machine.

    Args:
        machine: The machine.
        folder: A folder there, for ``PYTHONPATH``.
        stalls_soon: Whether the stall watch waits for ``STALL_S`` alone.
    """
    assert sys.version_info[:2] == BOX_PYTHON, "what is compiled for this Python does not run on a box"
    with tempfile.TemporaryDirectory() as scratch:
        archive, main = Path(scratch) / "product.tar", Path(scratch) / "main.py"
        main.write_text(f"{STALLS_SOON if stalls_soon else ''}{COMMAND_LINE}")
        with tarfile.open(archive, "w") as tar:
            for path, name in (*_files(main), *_packages()):
                tar.add(path, name, recursive=False)
        machine.put(archive, f"{folder}/product.tar")
    done = machine.run(["python3", "-m", "tarfile", "-e", f"{folder}/product.tar", folder], timeout_s=120)
    assert done.exit_code == 0, done.last_words


def _files(main: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files of the package ``trainer``, and where they go."""
    yield main, "trainer/__main__.py"
    yield STAND_IN, "trainer/stand_in.py"
    yield PROJECT / "trainer" / "__main__.py", "trainer/product.py"
    for path in sorted((PROJECT / "trainer").rglob("*.py")):
        if path != PROJECT / "trainer" / "__main__.py":
            yield path, path.relative_to(PROJECT).as_posix()


def _packages() -> Iterator[tuple[Path, str]]:
    """Yield the files of the packages, and where they go."""
    for package in PACKAGES:
        spec = find_spec(package)
        assert spec is not None, package
        assert spec.origin is not None, package
        if not spec.submodule_search_locations:
            yield Path(spec.origin), Path(spec.origin).name
            continue
        root = Path(spec.origin).parent
        for path in sorted(root.rglob("*")):
            name = path.relative_to(root.parent)
            if path.is_file() and "__pycache__" not in name.parts and _is_wanted(name.parts):
                yield path, name.as_posix()


def _is_wanted(parts: tuple[str, ...]) -> bool:
    """Return whether a file goes along: a description of boto3's only where it is of one of ``SERVICES``."""
    is_description = parts[:2] in {("botocore", "data"), ("boto3", "data")} and len(parts) > 3
    return not is_description or parts[2] in SERVICES
