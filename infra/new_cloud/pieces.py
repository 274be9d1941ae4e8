"""What a cloud consists of, and what of it a tree lacks: ``unfinished(root, "acme")`` names each missing piece.

It reads files and imports none of them, so that it works on any tree: a checkout, a copy, a skeleton. What the skeleton
leaves open carries a mark, ``TO BE WRITTEN (name): what``, in whatever language the file has.
"""

from __future__ import annotations

import ast
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.conformance import find_differences

MARK = re.compile(r"TO BE WRITTEN \(([^()]+)\): ([^\"\n]+)")
CLOUD_FILES = ("api.py", "cloud.py", "messages.py", "refusals.py", "emulator/app.py", "emulator/service.py")
"""In the cloud's package; where a vendor's own library reads the answers there are no messages."""
OWN_CLIENT = "runner.cloud_api.http"
"""What a client imports that sends its requests itself."""
TEST_FILES = ("test_api.py", "test_refusals.py", "emulator/test_app.py")
INVENTORY_FILES = ("hosts.yml", "group_vars/all/ansible.yml", "group_vars/all/roles.yml")
GUIDE_PARTS = ("Quotas", "What it costs", "What Douse creates there", "Quirks", "Terminating everything by hand")
REGISTRY = "runner/clouds/registry.py"
PLATFORMS, EGRESS, CATALOG = "runner/prices/platforms.csv", "runner/prices/egress.csv", "runner/prices/catalog"
WORDS = {
    "docs/prices.md": ("row", "| `{cloud}` |", "a row in the table of platforms"),
    "docs/rehearsal.md": ("faults", "| {cloud} |", "its column in the table of faults, which `make docs` writes"),
    "infra/README.md": ("columns", "environments/{cloud}/README.md", "a link to its page, and its column in the table"),
    "inventories/README.md": ("row", "| `{cloud}` |", "a row: driver, and how a machine terminates itself"),
    "README.md": ("link", "docs/clouds/{cloud}.md", "a link to its guide"),
    "CHANGELOG.md": ("line", "ENV={cloud}", "a line for users"),
}
"""Shared pages that name every cloud: what is wanted there, and how it is recognised."""
PINNED_TESTS = (
    "tests/rehearsal/test_life.py",
    "tests/unit/infra/test_check.py",
    "tests/unit/runner/clouds/test_environments.py",
    "tests/unit/runner/clouds/test_records.py",
    "tests/unit/runner/clouds/test_registry.py",
    "tests/unit/runner/emulation/test_control_app.py",
    "tests/unit/runner/prices/test_platforms.py",
    "tests/unit/test_cloud_guides.py",
)
"""Shared tests that state a fact of every cloud by its name."""


@dataclass(frozen=True, order=True)
class Piece:
    """Something that is missing, or that the skeleton left open.

    Attributes:
        path: The file that it belongs into, from the root of the tree.
        name: What it is, in a word or a few.
        how: What to write.
    """

    path: str
    name: str
    how: str

    def __str__(self) -> str:
        """Return it as one line."""
        return f"{self.path}: {self.name}: {self.how}"


def own_places(cloud: str, package: str) -> tuple[str, ...]:
    """Return the folders and files that are a cloud's alone."""
    return (
        f"runner/clouds/{package}/",
        f"infra/environments/{cloud}/",
        f"inventories/{cloud}/",
        f"docs/clouds/{cloud}.md",
        f"{CATALOG}/{cloud}.csv",
        f"tests/unit/runner/clouds/{package}/",
    )


def shared_places() -> tuple[str, ...]:
    """Return the files and folders of all clouds in which a new one is named."""
    return (REGISTRY, PLATFORMS, EGRESS, *WORDS, *PINNED_TESTS)


def unfinished(root: Path, cloud: str) -> list[Piece]:
    """Return the pieces that a cloud still needs in this tree, in the order in which it is best written."""
    package = package_of(root, cloud)
    return [
        *_client(root, package),
        *_record(root, package),
        *_files(root, f"runner/clouds/{package}", CLOUD_FILES),
        *_terraform(root, cloud),
        *_files(root, f"inventories/{cloud}", INVENTORY_FILES),
        *_guide(root, cloud),
        *_files(root, f"tests/unit/runner/clouds/{package}", TEST_FILES),
        *_marks(root, cloud, package),
        *_lists(root, package),
        *_tables(root, cloud),
        *_words(root, cloud),
    ]


def package_of(root: Path, cloud: str) -> str:
    """Return the name of a cloud's package: that whose record has its name, else the cloud's own."""
    for path in sorted((root / "runner" / "clouds").glob("*/cloud.py")):
        calls = _calls(path, "Environment")
        if any(call.args and isinstance(call.args[0], ast.Constant) and call.args[0].value == cloud for call in calls):
            return path.parent.name
    return cloud


def _client(root: Path, package: str) -> Iterator[Piece]:
    """Find methods of the protocol that no class of the client has."""
    path = f"runner/clouds/{package}/api.py"
    if (root / path).is_file():
        there = {name for kind in _classes(root / path) for name in _members(kind)}
        protocol = next(kind for kind in _classes(root / "runner/cloud_api/models.py") if kind.name == "Cloud")
        for name in _members(protocol):
            if name not in there:
                yield Piece(path, name, f"the method {name} of the protocol Cloud in runner/cloud_api/models.py")


def _record(root: Path, package: str) -> Iterator[Piece]:
    """Find fields that the record does not say."""
    path = f"runner/clouds/{package}/cloud.py"
    if (root / path).is_file():
        said = {keyword.arg for call in _calls(root / path, "CloudRecord") for keyword in call.keywords}
        record = next(kind for kind in _classes(root / "runner/cloud_api/environment.py") if kind.name == "CloudRecord")
        for field in record.body:
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and field.value is None:
                name = field.target.id
                if name not in said:
                    yield Piece(path, name, "a field of CloudRecord; runner/cloud_api/environment.py says what it is")


def _files(root: Path, folder: str, names: tuple[str, ...]) -> Iterator[Piece]:
    """Find files that are not there."""
    client = root / folder / "api.py"
    for name in names:
        is_needed = name != "messages.py" or (client.is_file() and OWN_CLIENT in client.read_text(encoding="utf-8"))
        if is_needed and not (root / folder / name).is_file():
            yield Piece(f"{folder}/{name}", "file", "the whole file; `make new-cloud` writes its beginning")


def _terraform(root: Path, cloud: str) -> Iterator[Piece]:
    """Find what the environment does not keep of the contract."""
    folder = f"infra/environments/{cloud}"
    if not (root / folder).is_dir():
        yield Piece(f"{folder}/", "folder", "the environment's root module; `make new-cloud` writes its beginning")
        return
    for line in find_differences(root / "infra", only=cloud):
        name, _, problem = line.partition(": ")
        if name == cloud:
            yield Piece(f"{folder}/", "contract", problem)


def _guide(root: Path, cloud: str) -> Iterator[Piece]:
    """Find parts that the guide lacks."""
    path = f"docs/clouds/{cloud}.md"
    text = (root / path).read_text(encoding="utf-8") if (root / path).is_file() else ""
    for part in GUIDE_PARTS:
        if f"\n## {part}" not in text:
            yield Piece(path, part, "this part of the guide, as in the guides of the other clouds")


def _marks(root: Path, cloud: str, package: str) -> Iterator[Piece]:
    """Find what the skeleton left open, file by file."""
    for place in own_places(cloud, package):
        for path in sorted((root / place).rglob("*")) if place.endswith("/") else [root / place]:
            if path.is_file() and not path.is_symlink() and "__pycache__" not in path.parts:
                for name, how in MARK.findall(path.read_text(encoding="utf-8")):
                    yield Piece(path.relative_to(root).as_posix(), name, how.removesuffix("-->").strip())


def _lists(root: Path, package: str) -> Iterator[Piece]:
    """Find lists of clouds that do not have this one."""
    if f"from runner.clouds.{package}.cloud import RECORD" not in (root / REGISTRY).read_text(encoding="utf-8"):
        yield Piece(REGISTRY, "CLOUDS", "its record in the one list of clouds")


def _tables(root: Path, cloud: str) -> Iterator[Piece]:
    """Find dated tables that say nothing of the cloud."""
    lists = [row for row in _rows(root / PLATFORMS) if row["environment"] == cloud]
    if not any(row["name"] == cloud for row in lists):
        yield Piece(PLATFORMS, "row", "who is trusted, how it bills and what survives, with its day and source")
    if not _rows(root / CATALOG / f"{cloud}.csv"):
        yield Piece(f"{CATALOG}/{cloud}.csv", "rows", "a dated, sourced price for each machine; docs/prices.md")
    if not any(row["platform"] == cloud for row in _rows(root / EGRESS)):
        yield Piece(EGRESS, "row", "what traffic out of it costs, with its day and source")


def _words(root: Path, cloud: str) -> Iterator[Piece]:
    """Find shared pages and tests that do not name the cloud."""
    for path, (name, sign, how) in WORDS.items():
        if sign.format(cloud=cloud) not in (root / path).read_text(encoding="utf-8"):
            yield Piece(path, name, how)
    for path in PINNED_TESTS:
        if f'"{cloud}"' not in (root / path).read_text(encoding="utf-8"):
            yield Piece(path, "case", "its facts beside those of the other clouds")


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _calls(path: Path, name: str) -> Iterator[ast.Call]:
    """Yield the calls of a function by its bare name."""
    if path.is_file():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
                yield node


def _classes(path: Path) -> list[ast.ClassDef]:
    return [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)]


def _members(kind: ast.ClassDef) -> list[str]:
    """Return the names that a class defines in its own body."""
    found = []
    for node in kind.body:
        if isinstance(node, ast.FunctionDef):
            found.append(node.name)
        elif isinstance(node, ast.Assign):
            found += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return found
