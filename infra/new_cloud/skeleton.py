"""Write the skeleton of a new cloud: its templates are one of a cloud called acme, whose name is put in its place."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from infra.new_cloud.pieces import REGISTRY, own_places, package_of
from runner.errors import UsageError

TEMPLATES = Path(__file__).resolve().parent / "templates"
SUFFIX = ".tmpl"
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
LONGEST_NAME = 16
LINKS = ("contract.tf", "waiting.tf")
CLOUDS = re.compile(r"for record in \(([A-Z_0-9, ]+)\)")
IMPORT = re.compile(r"from runner\.clouds\.\w+\.cloud import RECORD as ")
RESERVED = ("contract", "existing", "local", "store")


def write_skeleton(root: Path, cloud: str) -> list[Path]:
    """Write all files of a new cloud, enter it in the lists of clouds, and return what was written.

    Raises:
        UsageError: If the name cannot be one, or something of this name is there; then nothing is written.
    """
    package = check_name(root, cloud)
    registry = root / REGISTRY
    listed = _listed(registry.read_text(encoding="utf-8"), cloud, package)
    written = []
    for template in sorted(TEMPLATES.rglob(f"*{SUFFIX}")):
        name = template.relative_to(TEMPLATES).as_posix().removesuffix(SUFFIX)
        path = root / _named(name, cloud, package)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_named(template.read_text(encoding="utf-8"), cloud, package), encoding="utf-8")
        written.append(path)
    for name in LINKS:
        path = root / "infra" / "environments" / cloud / name
        path.symlink_to(f"../../contract/{name}")
        written.append(path)
    registry.write_text(listed, encoding="utf-8")
    return [*written, registry]


def check_name(root: Path, cloud: str) -> str:
    """Return the name of the package that a new cloud gets.

    Raises:
        UsageError: If the name cannot be one, or something of this name is there.
    """
    if not NAME.fullmatch(cloud) or len(cloud) > LONGEST_NAME or cloud in RESERVED:
        raise UsageError(
            f"new-cloud: {cloud or 'nothing'} cannot be the name of a cloud",
            resolution=f"give one to {LONGEST_NAME} of a-z, 0-9 and single _, with a letter first: "
            f"make new-cloud NAME=acme (not {', '.join(RESERVED)})",
        )
    package = f"{cloud}_cloud" if keyword.iskeyword(cloud) else cloud
    there = [place for place in own_places(cloud, package_of(root, cloud)) if (root / place).exists()]
    there += [f"runner/clouds/{package}.py"] if (root / f"runner/clouds/{package}.py").exists() else []
    if there:
        raise UsageError(
            f"new-cloud: {cloud} is there already: {', '.join(there)}",
            resolution=f"give another name, or see what is still to be written: make new-cloud NAME={cloud} CHECK=1",
        )
    return package


def _named(text: str, cloud: str, package: str) -> str:
    """Put a cloud's name in the place of acme's."""
    camel = "".join(part.capitalize() for part in cloud.split("_"))
    for folder in ("runner.clouds.", "runner/clouds/"):
        text = text.replace(f"{folder}acme", f"{folder}{package}")
    return text.replace("acme", cloud).replace("Acme", camel).replace("ACME", cloud.upper())


def _listed(text: str, cloud: str, package: str) -> str:
    """Return the registry with the cloud in its list.

    Raises:
        UsageError: If the list is not where it was.
    """
    found = CLOUDS.search(text)
    imports = [line for line in text.splitlines() if IMPORT.match(line)]
    if found is None or not imports:
        raise UsageError(
            f"new-cloud: {REGISTRY} has no list of clouds that can be added to",
            resolution=f"let it import each RECORD and list them in CLOUDS, as {CLOUDS.pattern} finds them",
        )
    line = f"from runner.clouds.{package}.cloud import RECORD as {cloud.upper()}"
    text = text.replace("\n".join(imports), "\n".join(sorted([*imports, line])))
    return text.replace(found.group(0), f"for record in ({found.group(1)}, {cloud.upper()})")
