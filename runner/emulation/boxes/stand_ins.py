"""Stand-ins for NVIDIA's packages: real Debian packages of the right names, in a repository inside the boxes' tree.

They let the real apt tasks of the playbooks run where there is neither a GPU nor a network. Their ``nvidia-smi`` says
what NVIDIA's says on a machine without a GPU, and ends with its status.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from runner.emulation.boxes.host import call

BRANCHES = ("570", "580")
NO_GPU = """#!/bin/sh
# The real program's words and status on a machine without a GPU.
echo "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA\
 driver is installed and running."
echo
exit 9
"""


@dataclass(frozen=True)
class StandIn:
    """A package that stands for one of NVIDIA's."""

    name: str
    version: str
    depends: tuple[str, ...] = ()
    programs: dict[str, str] = field(default_factory=dict)


STAND_INS = (
    *(
        StandIn(f"nvidia-driver-{branch}-server", f"{branch}.95.05", (f"nvidia-utils-{branch}-server",))
        for branch in BRANCHES
    ),
    *(
        StandIn(f"nvidia-utils-{branch}-server", f"{branch}.95.05", programs={"usr/bin/nvidia-smi": NO_GPU})
        for branch in BRANCHES
    ),
    StandIn("cuda-toolkit-13-0", "13.0.2-1"),
)


def make_repository(folder: Path) -> Path:
    """Build the packages and the list of them; return the repository's folder."""
    repository = folder / "apt"
    repository.mkdir(parents=True)
    entries = [_build(package, folder, repository) for package in STAND_INS]
    (repository / "Packages").write_text("\n".join(entries))
    return repository


def _build(package: StandIn, folder: Path, repository: Path) -> str:
    """Build one package; return its paragraph of the list."""
    content = folder / package.name
    (content / "DEBIAN").mkdir(parents=True)
    control = "\n".join(
        [
            f"Package: {package.name}",
            f"Version: {package.version}",
            "Architecture: all",
            "Maintainer: Douse <rehearsal@localhost>",
            *([f"Depends: {', '.join(package.depends)}"] if package.depends else []),
            "Description: stand-in of a rehearsal, without a driver in it",
        ]
    )
    (content / "DEBIAN" / "control").write_text(f"{control}\n")
    for path, text in package.programs.items():
        program = content / path
        program.parent.mkdir(parents=True)
        program.write_text(text)
        program.chmod(0o755)
    file = repository / f"{package.name}_{package.version}_all.deb"
    call(["dpkg-deb", "--root-owner-group", "--build", str(content), str(file)])
    data = file.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    return f"{control}\nFilename: ./{file.name}\nSize: {len(data)}\nSHA256: {digest}\n"
