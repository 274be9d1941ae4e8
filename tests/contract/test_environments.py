"""Every environment takes the same inputs and hands back the same host; each kind of difference is found."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from infra.conformance import CONTRACT, FILES, FOLDER, WAITING, find_differences, linked_tests, read_module
from runner.clouds.environments import ENVIRONMENTS

ROOTS = sorted(path for path in (FOLDER / "environments").iterdir() if path.is_dir())
DECLARED = re.compile(r'^variable "([a-z_]+)" \{$', re.MULTILINE)
INPUTS = DECLARED.findall((FOLDER / "contract" / CONTRACT).read_text())


@pytest.fixture
def infra(tmp_path: Path) -> Path:
    """Folder with a copy of the modules that a test may break."""
    ignored = shutil.ignore_patterns(".terraform", "*.tfstate*", "__pycache__")
    return Path(shutil.copytree(FOLDER, tmp_path / "infra", ignore=ignored, symlinks=True))


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_the_environments_keep_their_contract() -> None:
    assert find_differences() == []


def test_there_is_a_module_for_every_environment_of_the_runner() -> None:
    assert {path.name for path in ROOTS} == {environment.module for environment in ENVIRONMENTS.values()}


def test_every_contract_input_is_in_the_table_of_the_readme() -> None:
    table = (FOLDER / "README.md").read_text().split("| output |")[0]

    assert re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE) == INPUTS
    assert len(INPUTS) == 7


@pytest.mark.parametrize("root", [*ROOTS, FOLDER / "store"], ids=lambda root: root.name)
def test_every_input_of_its_own_is_in_the_modules_readme(root: Path) -> None:
    own = sorted(name for name in read_module(root).variables if root.name == "store" or name not in INPUTS)
    table = re.findall(r"^\| `([a-z_0-9]+)` \|", (root / "README.md").read_text(), re.MULTILINE)

    assert own == [name for name in table if name in own]


@pytest.mark.parametrize("root", ROOTS, ids=lambda root: root.name)
def test_every_rule_is_counted(root: Path) -> None:
    text = "".join(path.read_text() for path in root.glob("*.tf"))

    rules = re.findall(r"^ +(?:validation|precondition|postcondition) \{$", text, re.MULTILINE)
    assert read_module(root).conditions.total() == len(rules) > 5


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_missing_file_is_found(infra: Path, name: str) -> None:
    (infra / "environments" / "lambda" / name).unlink()

    if name == "variables.tf":
        assert find_differences(infra) == ["lambda: variables.tf is missing"]
    else:
        assert f"lambda: {name} is missing" in find_differences(infra)


def test_a_file_of_one_environment_alone_is_found(infra: Path) -> None:
    (infra / "environments" / "aws" / "spot.tf").touch()

    assert find_differences(infra) == ["aws: spot.tf is in no other environment"]


@pytest.mark.parametrize("name", [CONTRACT, WAITING])
def test_a_copy_in_place_of_the_link_is_found(infra: Path, name: str) -> None:
    link = infra / "environments" / "lambda" / name
    text = link.read_text()
    link.unlink()
    link.write_text(text)

    expected = f"lambda: {name} is no link to ../../contract/{name}; `ln -sf` makes it one"
    assert find_differences(infra)[0] == expected


def test_a_link_to_another_place_is_found(infra: Path) -> None:
    link = infra / "environments" / "runpod" / CONTRACT
    link.unlink()
    link.symlink_to(infra / "contract" / CONTRACT)

    assert find_differences(infra) == [
        f"runpod: {CONTRACT} is no link to ../../contract/{CONTRACT}; `ln -sf` makes it one"
    ]


def test_an_input_of_the_contract_stands_once() -> None:
    shared = [FOLDER / "contract" / name for name in (CONTRACT, WAITING)]
    names = [name for path in shared for name in DECLARED.findall(path.read_text())]
    files = [path for path in FOLDER.glob("environments/*/*.tf") if not path.is_symlink()]

    assert [path for path in files if set(DECLARED.findall(path.read_text())) & set(names)] == []
    assert len(names) == len(set(names)) == 9


def test_the_contracts_own_tests_come_with_the_link() -> None:
    found = {root.name: [path.name for path in linked_tests(root)] for root in ROOTS}

    assert found["local"] == ["contract.tftest.hcl"]
    assert found["runpod"] == ["contract.tftest.hcl", "waiting.tftest.hcl"]
    assert {names[0] for names in found.values()} == {"contract.tftest.hcl"}
    assert linked_tests(FOLDER / "store") == []


def test_an_own_input_without_the_clouds_name_is_found(infra: Path) -> None:
    path = infra / "environments" / "aws" / "variables.tf"
    with path.open("a") as file:
        file.write('\nvariable "zone" {\n  description = "Zone."\n  type = string\n  nullable = false\n}\n')

    assert find_differences(infra) == ["aws: zone does not begin with aws_"]


def test_an_own_input_out_of_order_is_found(infra: Path) -> None:
    path = infra / "environments" / "aws" / "variables.tf"
    with path.open("a") as file:
        file.write('\nvariable "aws_a" {\n  description = "A."\n  type = string\n  nullable = false\n}\n')

    assert find_differences(infra) == ["aws: its own inputs are not in the order of the alphabet"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('description = "User to log in as; the image\'s own."\n', "\n", "aws: aws_user has no description"),
        ("type        = list(number)", "type        = any", "aws: aws_egress_ports takes any type"),
        (
            "  default     = 10\n  nullable    = false\n",
            "  default     = 10\n",
            "aws: aws_max_retries takes null or not, and its description does not say so",
        ),
        (
            "; null takes that of aws_subnet_id, else the region's default VPC.",
            ".",
            "aws: aws_vpc_id takes null or not, and its description does not say so",
        ),
    ],
)
def test_a_loose_declaration_is_found(infra: Path, old: str, new: str, expected: str) -> None:
    change(infra / "environments" / "aws" / "variables.tf", old, new)

    assert expected in find_differences(infra)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("    port            = 22\n", "", "host has the keys"),
        ('cloud           = "aws"', 'cloud           = "lambda"', 'host.cloud is "lambda"'),
        ('output "instructions"', 'output "advice"', "the outputs are host, advice, not host and instructions"),
        ("How a person gets onto", "The way to", "description of output instructions is not as in local"),
    ],
)
def test_an_output_that_differs_is_found(infra: Path, old: str, new: str, expected: str) -> None:
    change(infra / "environments" / "aws" / "outputs.tf", old, new)

    found = find_differences(infra)
    assert len(found) == 1
    assert found[0].startswith(f"aws: {expected}")


@pytest.mark.parametrize(
    ("module", "file", "run", "expected"),
    [
        (
            "environments/aws",
            "validation",
            "refuses_half_a_parameter_name",
            "var.aws_ami_parameter has 1 rules, and tests that break 0",
        ),
        ("environments/aws", "validation", "refuses_an_image_for_arm", ""),  # another run breaks the same rule
        (
            "environments/lambda",
            "validation",
            "refuses_spot_machines",
            "douse_lambda_instance.this has 3 rules, and tests that break 2",
        ),
        ("store", "validation", "refuses_to_forget_at_once", "var.noncurrent_days has 1 rules, and tests that break 0"),
    ],
)
def test_a_rule_without_a_test_is_found(infra: Path, module: str, file: str, run: str, expected: str) -> None:
    path = infra / module / "tests" / f"{file}.tftest.hcl"
    text, count = re.subn(rf'run "{run}" \{{\n.*?\n\}}\n', "", path.read_text(), flags=re.DOTALL)
    assert count == 1
    path.write_text(text)

    assert find_differences(infra) == ([f"{Path(module).name}: {expected}"] if expected else [])


def test_a_rule_of_the_contract_without_a_test_is_found(infra: Path) -> None:
    path = infra / "contract" / "contract.tftest.hcl"
    text, count = re.subn(r'run "refuses_no_candidates" \{\n.*?\n\}\n', "", path.read_text(), flags=re.DOTALL)
    assert count == 1
    path.write_text(text)

    assert find_differences(infra) == [
        f"{root.name}: var.candidates has 4 rules, and tests that break 3" for root in ROOTS
    ]


def test_no_exception_of_the_scanner_is_without_a_reason() -> None:
    config = (FOLDER / ".checkov.yaml").read_text()
    exceptions = [
        line for path in FOLDER.glob("**/*.tf") for line in path.read_text().splitlines() if "checkov:skip" in line
    ]

    assert "skip-check" not in config
    assert "soft-fail" not in config
    assert len(exceptions) > 3
    assert [line for line in exceptions if not re.search(r"#checkov:skip=CKV2?_AWS_\d+:.{40,}", line)] == []


def test_the_locks_name_the_same_providers_and_every_platform() -> None:
    locks = [(FOLDER / name / ".terraform.lock.hcl").read_text() for name in ("environments/aws", "store", "safety")]

    assert locks == [locks[0]] * 3
    assert len(re.findall(r'"zh:[0-9a-f]{64}"', locks[0])) == 15
    assert 'constraints = "~> 5.100"' in locks[0]
