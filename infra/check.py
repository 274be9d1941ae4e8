"""Check every root module: ``python -m infra.check`` runs terraform fmt, init, validate and test in each."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from runner.adapters import process
from runner.adapters.terraform_install import find_terraform
from runner.errors import RunnerError

FOLDER = Path(__file__).resolve().parent
WORK = FOLDER.parent / "build" / "terraform"
TIMEOUT_S = 300.0


def main() -> int:
    """Return 0 when all modules are formatted, valid and pass their tests."""
    try:
        terraform = str(find_terraform())
    except RunnerError as err:
        print(f"error: {err.message}\nhint:  {err.resolution}", file=sys.stderr)
        return err.exit_code
    roots = sorted({path.parent for path in (FOLDER / "environments").glob("*/*.tf")})
    passed = _run([terraform, "fmt", "-check", "-diff", "-recursive", "."], FOLDER)
    for root in roots:
        commands = (["init", "-backend=false", "-input=false"], ["validate"], ["test"])
        passed &= all(_run([terraform, *command, "-no-color"], root) for command in commands)
    print(f"{len(roots)} root modules are {'well' if passed else 'not all well'}")
    return 0 if passed and roots else 1


def _run(argv: list[str], root: Path) -> bool:
    """Run one command; what it says is shown when it fails."""
    WORK.mkdir(parents=True, exist_ok=True)
    config = WORK / "terraform.rc"
    config.touch()  # nothing of the user's own settings
    env = {"TF_CLI_CONFIG_FILE": str(config), "TF_DATA_DIR": str(WORK / root.name), "CHECKPOINT_DISABLE": "1"}
    done = process.run(argv, timeout_s=TIMEOUT_S, cwd=root, env=env)
    name = f"terraform {argv[1]} in {os.path.relpath(root, FOLDER.parent)}"
    if done.exit_code == 0:
        print(f"ok      {name}")
        return True
    print(f"FAILED  {name}\n{done.stdout}{done.stderr}", file=sys.stderr)
    return False


if __name__ == "__main__":
    sys.exit(main())
