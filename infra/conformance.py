"""Hold the environments to their contract, by their HCL: the same files, inputs and outputs, a test for every rule."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import hcl2

FOLDER = Path(__file__).resolve().parent
REFERENCE = "local"
"""The environment whose outputs the others describe in the same words."""
CONTRACT, WAITING = "contract.tf", "waiting.tf"
"""Files of ``contract/``, to which environments link: each to the first, those that wait for sshd to the second."""
FILES = frozenset(
    {
        "README.md",
        CONTRACT,
        "instance.tf",
        "network.tf",
        "outputs.tf",
        "tests/contract.tftest.hcl",
        "tests/validation.tftest.hcl",
        "variables.tf",
        "versions.tf",
    }
)
RULES = ("precondition", "postcondition")


@dataclass(frozen=True)
class Module:
    """A root module, read.

    Attributes:
        name: Name of its folder.
        variables: Its inputs, file by file in their order.
        own: Names of those that it declares itself, not by a link.
        outputs: Its outputs.
        conditions: Number of rules by what they belong to: ``var.x``, ``aws_instance.this``, ``data.aws_ami.image``.
        refusals: Number of test runs that expect a rule of it to be broken, by the same names.
    """

    name: str
    variables: dict[str, dict[str, Any]]
    own: tuple[str, ...]
    outputs: dict[str, dict[str, Any]]
    conditions: Counter[str]
    refusals: Counter[str]


def find_differences(folder: Path = FOLDER, only: str | None = None) -> list[str]:
    """Return the breaches of the contract, one line each.

    Args:
        folder: The folder that holds ``environments``, ``store`` and ``contract``.
        only: The environment whose HCL is read, ``None`` for that of all and the store's.
    """
    schema = json.loads((folder / "contract" / "host.schema.json").read_text(encoding="utf-8"))
    found = [*_wrong_files(folder / "environments"), *_wrong_links(folder)]
    roots = sorted(path for path in (folder / "environments").iterdir() if (path / "variables.tf").is_file())
    modules = [read_module(root) for root in roots if only in (None, root.name) or root.name == REFERENCE]
    reference = next(module for module in modules if module.name == REFERENCE)
    if only is not None:
        modules = [module for module in modules if module.name == only]
    for module in modules:
        found += _wrong_own_inputs(module)
        found += _wrong_outputs(module, reference, list(schema["required"]))
    for module in [*modules, *([read_module(folder / "store")] if only is None else [])]:
        found += _wrong_declarations(module)
        found += _rules_without_a_test(module)
    return found


def linked_tests(root: Path) -> list[Path]:
    """Return the test runs that come with what a root module links to: they lie beside it, under the same name."""
    linked = [path.resolve() for path in sorted(root.glob("*.tf")) if path.is_symlink()]
    return [tests for path in linked if (tests := path.with_suffix(".tftest.hcl")).is_file()]


def read_module(root: Path) -> Module:
    """Read the HCL of one root module, of its tests and of those of what it links to."""
    files = {path: _load(path) for path in sorted(root.glob("*.tf"))}
    blocks = [*files.values()]
    variables = _named(block for part in blocks for block in part.get("variable", []))
    conditions = Counter({f"var.{name}": len(body.get("validation", [])) for name, body in variables.items()})
    for part in blocks:
        for kind, prefix in (("resource", ""), ("data", "data.")):
            for block in part.get(kind, []):
                conditions += _conditions(block, prefix)
    refusals: Counter[str] = Counter()
    for path in [*sorted((root / "tests").glob("*.tftest.hcl")), *linked_tests(root)]:
        for body in _named(_load(path).get("run", [])).values():
            refusals.update(
                str(target).removeprefix("${").removesuffix("}") for target in body.get("expect_failures", [])
            )
    return Module(
        name=root.name,
        variables=variables,
        own=tuple(
            _named(block for path, part in files.items() if not path.is_symlink() for block in part.get("variable", []))
        ),
        outputs=_named(block for part in blocks for block in part.get("output", [])),
        conditions=Counter({name: count for name, count in conditions.items() if count}),
        refusals=refusals,
    )


def _load(path: Path) -> Mapping[str, Any]:
    return _parsed(path.read_text(encoding="utf-8"))


@cache
def _parsed(text: str) -> Mapping[str, Any]:
    """Parse a file of HCL once, however many roots link to it and however often they are compared."""
    return dict(hcl2.loads(text))


def _named(blocks: Any) -> dict[str, dict[str, Any]]:
    """Return blocks with one label by it; python-hcl2 leaves the quotes on."""
    return {name.strip('"'): body for block in blocks for name, body in block.items() if not name.startswith("__")}


def _conditions(block: dict[str, Any], prefix: str) -> Counter[str]:
    """Count the rules in one resource or data block."""
    found: Counter[str] = Counter()
    for kind, named in _named([block]).items():
        for name, body in _named([named]).items():
            rules = sum(len(part.get(rule, [])) for part in body.get("lifecycle", []) for rule in RULES)
            found[f"{prefix}{kind}.{name}"] += rules
    return found


def _wrong_files(environments: Path) -> list[str]:
    """Find files that an environment lacks, and Terraform files that it alone has."""
    found = []
    for root in sorted(path for path in environments.iterdir() if path.is_dir()):
        there = {
            path.relative_to(root).as_posix()
            for path in [*root.glob("*.tf"), *root.glob("*.md"), *root.glob("tests/*.hcl")]
        }
        found += [f"{root.name}: {name} is missing" for name in sorted(FILES - there)]
        found += [f"{root.name}: {name} is in no other environment" for name in sorted(there - FILES - {WAITING})]
    return found


def _wrong_links(folder: Path) -> list[str]:
    """Find files with a name of the contract's that are not the contract's own."""
    return [
        f"{path.parent.name}: {path.name} is no link to ../../contract/{path.name}; `ln -sf` makes it one"
        for name in (CONTRACT, WAITING)
        for path in sorted((folder / "environments").glob(f"*/{name}"))
        if not path.is_symlink() or path.readlink().as_posix() != f"../../contract/{name}"
    ]


def _wrong_own_inputs(module: Module) -> list[str]:
    """Find inputs of one environment alone that are out of order or without its name."""
    found = []
    if list(module.own) != sorted(module.own):
        found.append(f"{module.name}: its own inputs are not in the order of the alphabet")
    return found + [
        f"{module.name}: {name} does not begin with {module.name}_"
        for name in module.own
        if not name.startswith(f"{module.name}_")
    ]


def _wrong_outputs(module: Module, reference: Module, keys: list[str]) -> list[str]:
    """Find outputs other than ``host`` and ``instructions``, and a host with other keys than the schema's."""
    if sorted(module.outputs) != ["host", "instructions"]:
        return [f"{module.name}: the outputs are {', '.join(module.outputs)}, not host and instructions"]
    found = [
        f"{module.name}: description of output {name} is not as in {reference.name}"
        for name, body in module.outputs.items()
        if body.get("description") != reference.outputs.get(name, {}).get("description")
    ]
    host = module.outputs["host"]["value"]
    given = [key for key in host if not key.startswith("__")]
    if sorted(given) != sorted(keys):
        found.append(f"{module.name}: host has the keys {', '.join(sorted(given))}, not the schema's")
    elif host["cloud"].strip('"') != module.name:
        found.append(f"{module.name}: host.cloud is {host['cloud']}")
    return found


def _wrong_declarations(module: Module) -> list[str]:
    """Find inputs without a description, with a loose type, or that take null though it means nothing."""
    found = []
    for name, body in module.variables.items():
        found += [f"{module.name}: {name} has no {key}" for key in ("description", "type") if key not in body]
        if "any" in str(body.get("type")):
            found.append(f"{module.name}: {name} takes any type")
        says_null = "null" in str(body.get("description"))
        if (body.get("nullable") is not False) != says_null:
            found.append(f"{module.name}: {name} takes null or not, and its description does not say so")
    return found


def _rules_without_a_test(module: Module) -> list[str]:
    """Find rules that no test run breaks: fewer runs expect a refusal there than there are rules."""
    return [
        f"{module.name}: {target} has {count} rules, and tests that break {module.refusals[target]}"
        for target, count in sorted(module.conditions.items())
        if module.refusals[target] < count
    ]
