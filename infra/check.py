"""Check every root module: ``python -m infra.check`` compares them with their contract, then has Terraform try each.

For each it runs terraform init and test, in a copy, so that a checkout stays as it is; OpenTofu is as good. Each run of
a test validates the whole module first, so that validate alone is left to a module without tests.
Providers come from the folder that ``DOUSE_PROVIDER_MIRROR`` names (it holds ``registry.terraform.io``, for OpenTofu
``registry.opentofu.org``), else from the registry. Where neither can be had, the modules that need them are named and
left out; in CI (``CI`` is set) that is a failure.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from infra.conformance import find_differences, linked_tests
from infra.shell import terraform_settings
from runner.adapters import process
from runner.adapters.terraform_install import find_terraform, release_of
from runner.errors import RunnerError
from runner.world import RealWorld

FOLDER = Path(__file__).resolve().parent
WORK = FOLDER.parent / "build" / "terraform"
TIMEOUT_S = 600.0
WORKERS = 2
OUT_OF_REACH = ("could not connect to registry", "Failed to query available provider packages", "Could not retrieve")
"""What Terraform says when no provider can be had, as against one that is wrong."""
NOT_IN_CHECKOUT = (".terraform", "*.tfstate*", "*.tfvars*")

Outcome = Literal["passed", "failed", "out of reach"]


@dataclass(frozen=True)
class Verdict:
    """How one root module came out, and what there is to show for it."""

    root: str
    outcome: Outcome
    lines: str


def main() -> int:
    """Return 0 when all modules keep their contract, are formatted and valid, and pass their tests."""
    try:
        terraform, env = str(find_terraform(RealWorld())), _settings(WORK)
    except RunnerError as err:
        print(f"error: {err.message}\nhint:  {err.resolution}", file=sys.stderr)
        return err.exit_code
    started = time.monotonic()
    differences = find_differences(FOLDER)
    print(_lines("the environments keep their contract", differences))
    fmt = process.run(
        [terraform, "fmt", "-check", "-diff", "-recursive", "."], timeout_s=TIMEOUT_S, cwd=FOLDER, env=env
    )
    print(_lines("terraform fmt", [fmt.stdout + fmt.stderr] if fmt.exit_code else []))
    roots = find_roots(FOLDER)
    with ThreadPoolExecutor(WORKERS) as pool:
        verdicts = [*pool.map(lambda root: check_root(root, terraform, WORK, env), roots)]
    for verdict in verdicts:
        print(verdict.lines)
    print(summary(verdicts, time.monotonic() - started, in_ci=bool(os.environ.get("CI"))))
    return exit_code(verdicts, well=not differences and fmt.exit_code == 0, in_ci=bool(os.environ.get("CI")))


def find_roots(folder: Path) -> list[Path]:
    """Return the folders that hold a root module, the slow ones first, so that none is waited for alone."""
    roots = {path.parent for path in folder.glob("**/versions.tf") if ".terraform" not in path.parts}
    return sorted(roots, key=lambda root: ("required_providers" not in (root / "versions.tf").read_text(), str(root)))


def check_root(root: Path, terraform: str, work: Path, env: Mapping[str, str]) -> Verdict:
    """Have Terraform initialise and test a copy of one root module, or validate one without tests; stop at a failure.

    What the module links to brings tests of its own, which are tried in it as well.
    """
    name = root.relative_to(FOLDER.parent).as_posix() if root.is_relative_to(FOLDER.parent) else root.name
    copy = work / "modules" / root.name
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns(*NOT_IN_CHECKOUT))  # files, where the root has links
    for runs in linked_tests(root):
        head = (root / "tests" / "contract.tftest.hcl").read_text(encoding="utf-8").partition('\nrun "')[0]
        (copy / "tests" / f"shared_{runs.name}").write_text(f"{head}\n{runs.read_text(encoding='utf-8')}", "utf-8")
    if not _is_committed(root):
        (copy / ".terraform.lock.hcl").unlink(missing_ok=True)
    # OpenTofu takes the version from Terraform's entry and writes one of its own beside it, so it has to write.
    is_readonly = (copy / ".terraform.lock.hcl").exists() and not _is_opentofu(terraform)
    locked = ["-lockfile=readonly"] if is_readonly else []
    tried = "test" if any((copy / "tests").glob("*.tftest.hcl")) else "validate"
    said = []
    for words in (["init", "-backend=false", "-input=false", *locked], [tried]):
        started = time.monotonic()
        done = process.run(
            [terraform, *words, "-no-color"],
            timeout_s=TIMEOUT_S,
            cwd=copy,
            env={**env, "TF_DATA_DIR": str(work / "data" / root.name)},
        )
        what = f"terraform {words[0]} in {name}"
        if done.exit_code != 0:
            away = words[0] == "init" and any(text in done.stderr for text in OUT_OF_REACH)
            said.append(f"{'NOT CHECKED' if away else 'FAILED '} {what}\n{done.stdout}{done.stderr}")
            return Verdict(name, "out of reach" if away else "failed", "\n".join(said))
        said.append(f"ok      {what} ({time.monotonic() - started:.1f} s)")
    return Verdict(name, "passed", "\n".join(said))


def summary(verdicts: list[Verdict], seconds: float, *, in_ci: bool) -> str:
    """Return the closing lines: how many modules were tried, and which were not, and what to do about it."""
    missed = [verdict.root for verdict in verdicts if verdict.outcome == "out of reach"]
    tried = [verdict for verdict in verdicts if verdict.outcome != "out of reach"]
    well = sum(verdict.outcome == "passed" for verdict in tried)
    lines = [f"{well} of {len(tried)} root modules are well ({seconds:.0f} s)"]
    if missed:
        fatal = ", which is a failure in CI" if in_ci else ""
        lines += [
            f"not checked{fatal}: {', '.join(missed)}: their providers cannot be had",
            "hint: connect to the network, or name a folder that holds them in DOUSE_PROVIDER_MIRROR: infra/README.md",
        ]
    return "\n".join(lines)


def exit_code(verdicts: list[Verdict], *, well: bool, in_ci: bool) -> int:
    """Return 0 when nothing failed, and in CI only when nothing was left out either."""
    allowed: set[Outcome] = {"passed"} if in_ci else {"passed", "out of reach"}
    return 0 if well and verdicts and all(verdict.outcome in allowed for verdict in verdicts) else 1


def _settings(work: Path) -> dict[str, str]:
    """Return Terraform's settings; from the registry each provider is downloaded once for all modules.

    Raises:
        UsageError: If ``DOUSE_PROVIDER_MIRROR`` names no folder.
    """
    work.mkdir(parents=True, exist_ok=True)
    settings = terraform_settings(work)
    if not os.environ.get("DOUSE_PROVIDER_MIRROR"):
        (work / "plugin-cache").mkdir(exist_ok=True)
        settings["TF_PLUGIN_CACHE_DIR"] = str(work / "plugin-cache")
    return settings


def _is_opentofu(program: str) -> bool:
    release = release_of(Path(program), os.environ)
    return release is not None and release.product == "OpenTofu"


def _is_committed(root: Path) -> bool:
    """Return whether a lock is part of the project; our own provider's is made anew (infra/.gitignore)."""
    return "terraform.local/" not in (root / "versions.tf").read_text(encoding="utf-8")


def _lines(what: str, problems: list[str]) -> str:
    return "\n".join([f"FAILED  {what}", *problems]) if problems else f"ok      {what}"


if __name__ == "__main__":
    sys.exit(main())
