"""Every cloud has all its pieces; a new one's skeleton lacks exactly what the guide says is to be written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.conformance import find_differences
from infra.new_cloud.__main__ import listing, main
from infra.new_cloud.pieces import Piece, own_places, package_of, shared_places, unfinished
from infra.new_cloud.skeleton import LONGEST_NAME, check_name, write_skeleton
from runner.clouds.registry import CLOUDS
from runner.errors import UsageError
from runner.run.run_dir import PROJECT

GUIDE = (PROJECT / "docs" / "add-a-cloud.md").read_text(encoding="utf-8")
NOT_IN_TREE = shutil.ignore_patterns("__pycache__", ".git", ".venv*", ".*_cache", ".terraform", "build", "dist", "runs")
LONG = "abcdefgh_ijklmno"
ONLY_SOME = {
    "docs/rooms.svg": "`make docs` draws it, from the imports",
    "docs/run-file.schema.json": "`make docs` writes it, from the words of the records",
    "benchmarks/": "what was measured, and where",
    "infra/new_cloud/": "finds the clouds; names none but acme",
}
"""What may name a cloud besides its places, with the reason why a new one needs nothing there."""
IMPORTS = """
import pkgutil, runner.clouds.acme as package
from runner.clouds.provider import DouseProvider
from runner.clouds.registry import CLOUDS
from runner.emulation.fault_table import FAULTS
from runner.rehearsal.services import emulated_clouds
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    __import__(module.name)
assert list(CLOUDS)[-1] == "acme" and CLOUDS["acme"].package == "runner.clouds.acme"
assert set(emulated_clouds()["acme"].faults.impossible) == set(FAULTS)
assert "douse_acme_instance" in DouseProvider.resources
print(package.__file__)
"""


def copy_of_the_tree(folder: Path) -> Path:
    return Path(shutil.copytree(PROJECT, folder / "tree", ignore=NOT_IN_TREE, symlinks=True))


@pytest.fixture(scope="module")
def with_acme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy of the tree with the skeleton of a cloud; not to be changed."""
    tree = copy_of_the_tree(tmp_path_factory.mktemp("acme"))
    assert main(["acme"], tree) == 0
    return tree


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Copy of the tree that a test may break."""
    return copy_of_the_tree(tmp_path)


def python(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tree), "HOME": str(tree)}
    return subprocess.run(
        [sys.executable, "-B", *words], cwd=tree, env=environment, capture_output=True, text=True, timeout=240
    )


def in_the_guide() -> list[tuple[str, str]]:
    """Return each file of the guide's lines, with each name that follows it."""
    lines = re.findall(r"^- `([^`]+)`: ((?:`[^`]+`(?:,\s+|$))+)", GUIDE, re.MULTILINE)
    return [(path, name) for path, names in lines for name in re.findall(r"`([^`]+)`", names)]


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_cloud_has_all_its_pieces(cloud: str) -> None:
    assert listing(unfinished(PROJECT, cloud)) == "nothing is missing"
    assert f"runner.clouds.{package_of(PROJECT, cloud)}" == CLOUDS[cloud].package


def test_the_skeleton_lacks_exactly_what_the_guide_says_is_to_be_written(with_acme: Path) -> None:
    found = [(piece.path, piece.name) for piece in unfinished(with_acme, "acme")]

    assert len(found) > 50
    assert sorted(found) == sorted(in_the_guide())
    assert len(set(found)) == len(found)


def test_the_skeletons_environment_keeps_the_contract(with_acme: Path) -> None:
    assert find_differences(with_acme / "infra") == []


def test_the_skeleton_imports_and_its_first_tests_pass(with_acme: Path) -> None:
    imported = python(with_acme, "-c", IMPORTS)
    tested = python(with_acme, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/runner/clouds/acme")

    assert imported.stdout.strip() == str(with_acme / "runner" / "clouds" / "acme" / "__init__.py"), imported.stderr
    assert (tested.returncode, re.findall(r"(\d+) passed", tested.stdout)) == (0, ["3"]), tested.stdout


def walls(tree: Path) -> subprocess.CompletedProcess[str]:
    return python(tree, "-c", "from importlinter.cli import lint_imports_command as l; l()", "--no-cache")


def test_the_skeleton_stays_within_the_walls(with_acme: Path) -> None:
    done = walls(with_acme)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "imported", "wall"),
    [
        ("api", "runner.clouds.runpod.refusals", "No cloud imports another BROKEN"),
        ("refusals", "runner.clouds.acme.api", "Inside a cloud: the record"),
    ],
)
def test_a_new_cloud_stands_behind_the_walls_without_being_listed(
    tree: Path, module: str, imported: str, wall: str
) -> None:
    main(["acme"], tree)
    path = tree / "runner" / "clouds" / "acme" / f"{module}.py"
    path.write_text(path.read_text(encoding="utf-8") + f"\nimport {imported}\n", encoding="utf-8")

    done = walls(tree)

    assert done.returncode == 1
    assert wall in done.stdout
    assert "13 kept, 1 broken" in done.stdout


@pytest.mark.slow
def test_the_skeleton_passes_mypy(with_acme: Path) -> None:
    known = PROJECT / ".mypy_cache"  # of `make types`: what it knows by content need not be read again
    if known.is_dir():
        shutil.copytree(known, with_acme / ".mypy_cache", dirs_exist_ok=True)

    done = python(with_acme, "-m", "mypy", "runner/clouds/acme", "runner/clouds/registry.py")

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["zz", LONG, "yield"])
def test_the_skeleton_is_clean_whatever_the_name(tree: Path, name: str) -> None:
    assert main([name], tree) == 0

    package = "yield_cloud" if name == "yield" else name
    assert package_of(tree, name) == package
    folders = [tree / place for place in own_places(name, package) if place.endswith("/")]
    for check in (["check"], ["format", "--check"]):
        done = python(tree, "-m", "ruff", *check, "--no-cache", *map(str, folders), "runner/clouds/registry.py")
        assert done.returncode == 0, done.stdout
    assert len(unfinished(tree, name)) == len(in_the_guide())
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 20
    assert [path for path in files if "acme" in f"{path} {path.read_text()}".lower().replace(str(tree), "")] == []


def test_a_cloud_has_as_many_places_as_the_guide_says() -> None:
    (counts,) = re.findall(r"A cloud has (\d+) places: (\d+) of its own and (\d+) that it shares", GUIDE)
    own, shared = own_places("acme", "acme"), shared_places()

    assert [int(count) for count in counts] == [len(own) + len(shared), len(own), len(shared)]
    assert len({*own, *shared}) == len(own) + len(shared)
    assert [place for place in (*own, *shared) if f"`{place}" not in GUIDE] == []


def test_no_other_place_names_a_cloud(with_acme: Path) -> None:
    """Of all clouds RunPod's name means nothing else; pages and tests may speak of it wherever they like."""
    own = [*own_places("runpod", "runpod"), "runner/prices/catalog/runpod-community.csv"]
    shared = [place for place in shared_places() if not place.startswith("tests/") and not place.endswith(".md")]
    named = {
        path.relative_to(with_acme).as_posix()
        for path in with_acme.rglob("*")
        if path.is_file()
        and path.suffix != ".md"
        and not {".hypothesis", ".mypy_cache", ".ruff_cache", "__pycache__"} & {*path.parts}
        and re.search(rb"(?i)runpod", path.read_bytes())
    }
    elsewhere = {path for path in named if not path.startswith(("tests/", *own, *ONLY_SOME))}

    assert {path for path in elsewhere if not path.startswith(tuple(shared))} == set()
    assert {place for place in shared if not any(path.startswith(place) for path in elsewhere)} == set()


def delete(name: str) -> Callable[[Path], None]:
    return lambda tree: (tree / name).unlink()


def change(name: str, old: str, new: str) -> Callable[[Path], None]:
    def made(tree: Path) -> None:
        text = (tree / name).read_text(encoding="utf-8")
        assert old in text
        (tree / name).write_text(text.replace(old, new), encoding="utf-8")

    return made


CLIENT, ROOT, GUIDE_PAGE = "runner/clouds/lambda_cloud", "infra/environments/lambda", "docs/clouds/lambda.md"
BROKEN: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "method": (change(f"{CLIENT}/api.py", "def quotas(", "def shares("), f"{CLIENT}/api.py", "quotas"),
    "field": (change(f"{CLIENT}/cloud.py", "    boot=BootTime", "    boots=BootTime"), f"{CLIENT}/cloud.py", "boot"),
    "client": (delete(f"{CLIENT}/refusals.py"), f"{CLIENT}/refusals.py", "file"),
    "messages": (delete(f"{CLIENT}/messages.py"), f"{CLIENT}/messages.py", "file"),
    "emulator": (delete(f"{CLIENT}/emulator/service.py"), f"{CLIENT}/emulator/service.py", "file"),
    "mark": (
        change(f"{CLIENT}/cloud.py", "the API has no call for quotas", "TO BE WRITTEN (quota): how"),
        f"{CLIENT}/cloud.py",
        "quota",
    ),
    "module": (lambda tree: shutil.rmtree(tree / ROOT), f"{ROOT}/", "folder"),
    "link": (delete(f"{ROOT}/contract.tf"), f"{ROOT}/", "contract"),
    "inventory": (delete("inventories/lambda/hosts.yml"), "inventories/lambda/hosts.yml", "file"),
    "guide": (change(GUIDE_PAGE, "## Quirks", "## More"), GUIDE_PAGE, "Quirks"),
    "list": (
        change("runner/clouds/registry.py", "lambda_cloud.cloud", "aws.cloud"),
        "runner/clouds/registry.py",
        "CLOUDS",
    ),
    "platform": (change("runner/prices/platforms.csv", "\nlambda,", "\nlamb,"), "runner/prices/platforms.csv", "row"),
    "prices": (delete("runner/prices/catalog/lambda.csv"), "runner/prices/catalog/lambda.csv", "rows"),
    "traffic": (change("runner/prices/egress.csv", "\nlambda,", "\nlamb,"), "runner/prices/egress.csv", "row"),
    "page": (change("docs/prices.md", "| `lambda` |", "| lambda |"), "docs/prices.md", "row"),
    "readme": (change("README.md", GUIDE_PAGE, "its guide"), "README.md", "link"),
    "test": (
        delete("tests/unit/runner/clouds/lambda_cloud/test_refusals.py"),
        "tests/unit/runner/clouds/lambda_cloud/test_refusals.py",
        "file",
    ),
    "rehearsal": (change("tests/rehearsal/test_life.py", '"lambda"', '"lamb"'), "tests/rehearsal/test_life.py", "case"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_each_kind_of_missing_piece_is_named(tree: Path, kind: str) -> None:
    break_it, path, name = BROKEN[kind]
    break_it(tree)

    found = unfinished(tree, "lambda")

    assert (path, name) in {(piece.path, piece.name) for piece in found}
    assert {piece.path for piece in found} == {path}
    assert all(len(piece.how.split()) > 1 for piece in found)


def test_a_cloud_that_is_nowhere_lacks_everything() -> None:
    found = {piece.path for piece in unfinished(PROJECT, "nowhere")}

    for place in (*own_places("nowhere", "nowhere"), *shared_places()):
        assert any(path.startswith(place) for path in found), place


@pytest.mark.parametrize(
    "name",
    ["", "Acme", "1st", "a-b", "a__b", "_a", "a_", "../up", "a b", "a" * (LONGEST_NAME + 1), "local", "store", "acmé"],
)
def test_a_name_that_can_be_none_is_refused_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be the name of a cloud"):
        write_skeleton(tmp_path, name)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [*CLOUDS, "registry", "provider"])
def test_what_is_there_is_not_written_again(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match=f"{name} is there already"):
        check_name(PROJECT, name)

    assert main([name]) == 2
    assert f"hint:  give another name, or see what is still to be written: make new-cloud NAME={name} CHECK=1" in (
        capsys.readouterr().err
    )


def test_a_list_of_clouds_that_cannot_be_added_to_is_said_before_anything_is_written(tree: Path) -> None:
    change("runner/clouds/registry.py", "for record in (LAMBDA", "for record in [LAMBDA")(tree)

    with pytest.raises(UsageError, match="no list of clouds that can be added to"):
        write_skeleton(tree, "acme")

    assert not (tree / "runner" / "clouds" / "acme").exists()


def test_the_list_of_what_is_missing_can_be_asked_for(with_acme: Path, capsys: pytest.CaptureFixture[str]) -> None:
    statuses = [main(["lambda", "--check"], with_acme), main(["acme", "--check"], with_acme)]

    whole, _, rest = capsys.readouterr().out.partition("\n")
    assert (statuses, whole) == ([0, 1], "nothing is missing")
    assert rest.startswith(f"{len(in_the_guide())} pieces to write:\n  runner/clouds/acme/api.py\n")
    assert "\n    listing: all that carries our marks, to the last page; see listings\n" in rest


def test_pieces_are_listed_file_by_file() -> None:
    pieces = [Piece("b.py", "one", "this"), Piece("a.py", "two", "that"), Piece("b.py", "three", "more")]

    assert listing(pieces) == "3 pieces to write:\n  b.py\n    one: this\n    three: more\n  a.py\n    two: that"
