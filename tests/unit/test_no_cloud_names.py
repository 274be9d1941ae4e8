"""Shared code names no cloud: all that it asks of one stands in the cloud's record, and a new one changes nothing else.

The syntax trees are read: identifiers, imports, arguments, string constants and docstrings. A name counts as a word
(``lambda``) and as part of an identifier (``DOUSE_LAMBDA_PACE_S``, ``LambdaCloud``, ``lambda_cloud``); comments do not.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.clouds.registry import CLOUDS
from runner.run.run_dir import PROJECT

RUNNER = PROJECT / "runner"
OWN = {path.parent.name for path in (RUNNER / "clouds").glob("*/cloud.py")}
S3 = "a store is no cloud: S3's variables are called AWS_* whoever keeps it, and its roles are Amazon's"
EXCEPTIONS = {
    "bootstrap.py": ({"aws"}, "an extra has the name of its lock, and boto3 is for AWS and for S3 alike"),
    "lifecycle/extras.py": ({"aws"}, S3),
    "clouds/registry.py": ({*CLOUDS}, "the one list of clouds"),
    "store/credentials.py": ({"aws"}, S3),
    "store/arming.py": ({"aws"}, S3),
    "run/run_file.py": ({"aws"}, S3),
    "emulation/s3/account.py": ({"aws"}, S3),
    "simulation/store.py": ({"aws"}, S3),
    "simulation/store_seams.py": ({"aws"}, S3),
    "emulation/s3/manners.py": ({"aws"}, S3),
    "emulation/boxes/guest/metadata.py": ({"aws"}, "EC2's metadata service, whose headers have the name of its cloud"),
    "planning/estimate/cost.py": ({"aws"}, "the source of a figure that counts for every cloud"),
    "planning/estimate/duration.py": ({"aws"}, "the sources of two figures that count for every cloud"),
}
"""Files that may name some clouds, each with its reason."""


def pattern_of(names: set[str]) -> re.Pattern[str]:
    """Return what finds a cloud's name or title as a word, or as a part of an identifier, however Python writes one."""
    ways = []
    for name in sorted(names):
        ways += [
            rf"(?<![A-Za-z]){name.lower()}(?![a-z])",
            rf"(?<![A-Z]){name.upper()}(?![A-Z])",
            rf"{name.capitalize()}(?![a-z])",
            rf"(?<![A-Z]){re.escape(CLOUDS[name].title)}(?![a-z])",
        ]
    return re.compile("|".join(ways) or r"(?!)")


NAMES = pattern_of({*CLOUDS})


def words_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield every word of a module that a person chose, with its line."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        for field in ("id", "attr", "arg", "name", "asname", "module", "value"):
            value = getattr(node, field, None)
            if isinstance(value, str):
                yield line, value
        if isinstance(node, ast.Global | ast.Nonlocal):
            yield from ((line, name) for name in node.names)


def found_in(source: str, names: re.Pattern[str] = NAMES) -> list[str]:
    """Return each place of a module that names a cloud."""
    return [
        f"{line}: {match.group()} in {word.strip().splitlines()[0][:60]}"
        for line, word in words_in(ast.parse(source))
        for match in names.finditer(word)
    ]


def shared_files() -> list[Path]:
    """Return the modules of the runner that are of no cloud."""
    return [
        path
        for path in sorted(RUNNER.rglob("*.py"))
        if not (path.relative_to(RUNNER).parts[0] == "clouds" and path.relative_to(RUNNER).parts[1] in OWN)
    ]


@pytest.mark.parametrize("path", shared_files(), ids=lambda path: path.relative_to(RUNNER).as_posix())
def test_shared_code_names_no_cloud(path: Path) -> None:
    name = path.relative_to(RUNNER)
    allowed, _ = EXCEPTIONS.get(name.as_posix(), (set(), ""))

    assert found_in(path.read_text(encoding="utf-8"), pattern_of({*CLOUDS} - allowed)) == []


@pytest.mark.parametrize("name", sorted(EXCEPTIONS))
def test_every_exception_is_still_needed_and_has_a_reason(name: str) -> None:
    source = (RUNNER / name).read_text(encoding="utf-8")
    allowed, reason = EXCEPTIONS[name]

    assert [cloud for cloud in allowed if not found_in(source, pattern_of({cloud}))] == []
    assert len(reason.split()) > 3


@pytest.mark.parametrize(
    "source",
    [
        'x = "lambda"',
        "from runner.clouds.aws import api",
        "import runner.clouds.lambda_cloud",
        "def open_runpod(): ...",
        "class RunPodCloud: ...",
        "f(runpod_user=1)",
        'x = os.environ["DOUSE_RUNPOD_USER"]',
        'x = f"set {LAMBDA_KEY}"',
        '"""Lambda\'s limit."""',
        "openLambda()",
        "AwsErrors()",
        "match x:\n    case 'aws':\n        pass",
    ],
)
def test_a_name_is_found_however_it_is_written(source: str) -> None:
    assert len(found_in(source)) >= 1


@pytest.mark.parametrize(
    "source",
    [
        "key = lambda row: row.name",
        'x = "flaws and laws"',
        'x = "https://checkip.amazonaws.com"',
        "drawspace = 1  # aws",
    ],
)
def test_what_only_looks_like_a_name_is_none(source: str) -> None:
    assert found_in(source) == []
