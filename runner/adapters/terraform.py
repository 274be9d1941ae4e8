"""Terraform, by python-terraform's argv builder and our own process handling.

python-terraform 0.10.1 builds good command lines, but its ``destroy`` passes ``-force``, which Terraform refuses, so
that nothing is destroyed; it does not stream, ignores undeclared variables, orphans Terraform on SIGTERM, dies of
an empty state, leaves files with the variables' values behind. Each of these has a test in
``tests/unit/runner/adapters/test_terraform.py``.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from python_terraform import IsFlagged
from python_terraform import Terraform as ArgvBuilder

from runner.adapters import process, surroundings
from runner.adapters.process import Cancel, OnLine
from runner.errors import TerraformError
from runner.run.models import Completed
from trainer.files import SECRET_MODE, write_atomically

DECLARED = re.compile(r'^variable\s+"([^"]+)"', re.MULTILINE)
STREAMED = ("plan", "apply", "destroy", "refresh")
QUICK_S, SLOW_S = 180.0, 3600.0
STOP_S = 120.0
"""How long Terraform may take to write down what it has made once it is asked to stop; cut short, it would lose it."""
STATE_FILE = "terraform.tfstate"
PLAN_FILE = "tfplan"
VARIABLES_FILE = "run.auto.tfvars.json"
NOBODY_ELSE = 0o077
"""The umask: plan and state hold the private host key of a machine, and Terraform makes files that all can read."""


class Terraform(ArgvBuilder):  # type: ignore[misc]
    """Terraform on one working copy of a root module.

    Attributes:
        words: Errors Terraform reported during the last command.
    """

    def __init__(
        self,
        program: Path,
        working_dir: Path,
        environ: Mapping[str, str],
        *,
        log: Path | None = None,
        on_progress: OnLine | None = None,
        on_start: OnLine | None = None,
        cancel: Cancel | None = None,
        hurry: Cancel | None = None,
        cli_config: str | None = None,
        env: Mapping[str, str] | None = None,
        inputs: Collection[str] = (),
        run: Callable[..., Completed] | None = None,
    ) -> None:
        """Work in ``working_dir``, which holds the root module and will hold its state.

        Args:
            program: The Terraform program.
            working_dir: The root module's working copy.
            environ: The user's environment; Terraform is given what ``surroundings.for_terraform`` leaves of it.
            log: File that gets all Terraform says.
            on_progress: Called with one line for each thing Terraform does.
            on_start: Called once, with Terraform's own time (ISO 8601), when it begins to change the first resource.
            cancel: Asked several times a second whether to stop.
            hurry: Asked while Terraform stops in order; once it says yes, it gets ``process.GRACE_S`` more.
            cli_config: Terraform's own settings, where the module needs providers that the registry does not have;
                other modules have those of the file that the user names by ``TF_CLI_CONFIG_FILE``.
            env: Variables on top of it; the place for secrets, which must be in no file and no argv.
            inputs: Inputs of the module that the user's environment may set (``TF_VAR_<name>``).
            run: Runs a program; ``process.run`` where not given.
        """
        super().__init__(working_dir=str(working_dir), terraform_bin_path=str(program))
        self._folder, self._log, self._run = working_dir, log, run
        self._on_progress, self._on_start, self._cancel, self._hurry = on_progress, on_start, cancel, hurry
        self._cli_config, self._user_config = cli_config, environ.get("TF_CLI_CONFIG_FILE")
        self._env = surroundings.for_terraform(environ, inputs) | dict(env or {})
        self.words: list[str] = []

    def read_state_file(self, file_path: str | None = None) -> None:
        """Read no state, as ``python-terraform`` does for each command: it is empty while the first thing is created.

        Terraform takes an empty one for none, and says by itself what is wrong with any other.
        """

    def copy_module(self, root: Path) -> None:
        """Make the working copy of a root module: whole files also where it links to what environments share.

        A run folder outlives changes of the checkout, and may be moved: a link in it would lead elsewhere one day.
        """
        self._folder.mkdir(exist_ok=True)
        for source in (*root.glob("*.tf"), *root.glob(".terraform.lock.hcl")):
            shutil.copyfile(source, self._folder / source.name)

    def write_variables(self, values: Mapping[str, Any]) -> None:
        """Write the module's variables where Terraform reads them by itself.

        Raises:
            TerraformError: If the module does not declare one of them; Terraform would silently ignore it.
        """
        declared = {
            name for path in self._folder.glob("*.tf") for name in DECLARED.findall(path.read_text(encoding="utf-8"))
        }
        unknown = sorted(set(values) - declared)
        if unknown:
            raise TerraformError(
                f"terraform: the module in {self._folder} declares no variable {', '.join(unknown)}",
                resolution="declare the whole contract in outputs.tf: infra/README.md shows it",
            )
        write_atomically(self._folder / VARIABLES_FILE, (json.dumps(values, indent=2) + "\n").encode(), SECRET_MODE)

    def prepare(self) -> None:
        """Run ``terraform init``."""
        self.cmd("init", input=False, no_color=IsFlagged)

    def make_plan(self) -> bool:
        """Write a plan file; return whether it changes anything."""
        code, _, _ = self.cmd(
            "plan", out=PLAN_FILE, input=False, no_color=IsFlagged, detailed_exitcode=IsFlagged, json=IsFlagged
        )
        return bool(code == 2)

    def apply_plan(self) -> None:
        """Carry out the plan file, nothing else."""
        self.cmd("apply", PLAN_FILE, input=False, no_color=IsFlagged, json=IsFlagged)

    def destroy(self) -> None:
        """Destroy everything in the state; with no state there is nothing to do."""
        if (self._folder / STATE_FILE).exists():
            self.cmd("destroy", input=False, no_color=IsFlagged, json=IsFlagged, auto_approve=IsFlagged)

    def outputs(self) -> dict[str, Any]:
        """Return the values of all outputs."""
        _, text, _ = self.cmd("output", json=IsFlagged)
        return {name: entry["value"] for name, entry in json.loads(text).items()}

    def resources(self) -> list[str]:
        """Return the addresses in the state.

        Raises:
            TerraformError: If the state cannot be read; that is never "nothing there".
        """
        if not (self._folder / STATE_FILE).exists():
            return []
        _, text, _ = self.cmd("state list")
        return text.split()

    def cmd(self, cmd: str, *args: str, **kwargs: Any) -> tuple[int, str, str]:
        """Run one Terraform command to its end.

        Raises:
            TerraformError: If it failed, hung, or was stopped.
        """
        argv = self.generate_cmd_string(cmd, *args, **kwargs)
        self.words = []
        verb = cmd.split(maxsplit=1)[0]
        done = (self._run or process.run)(
            argv,
            timeout_s=SLOW_S if verb in STREAMED else QUICK_S,
            cwd=self._folder,
            environ=self._environment(),
            umask=NOBODY_ELSE,
            log=self._log,
            on_line=self._read_line if verb in STREAMED else None,
            cancel=self._cancel,
            grace_s=STOP_S if verb in STREAMED else None,
            hurry=self._hurry,
        )
        if done.exit_code not in ((0, 2) if verb == "plan" else (0,)):
            raise self._failure(verb, done)
        return done.exit_code, done.stdout, done.stderr

    def _environment(self) -> dict[str, str]:
        """Return the whole environment: no setting of the user's is in it, unless the user points at a file of them.

        The workspace is set, not left out: a file in the working copy may choose another one, in which there is
        nothing to destroy.
        """
        own = self._folder / "terraform.rc"
        config = (self._user_config if self._cli_config is None else None) or str(own)
        if config == str(own):
            own.write_text(self._cli_config or "", encoding="utf-8")
        return self._env | {
            "TF_CLI_CONFIG_FILE": config,
            "TF_WORKSPACE": "default",
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
        }

    def _read_line(self, line: str) -> None:
        """Take one line of Terraform's JSON stream apart."""
        try:
            entry = json.loads(line)
        except ValueError:
            return  # the log has it
        diagnostic = entry.get("diagnostic")
        if diagnostic and diagnostic.get("severity") == "error":
            self.words.append(f"{diagnostic['summary']}: {diagnostic.get('detail', '')}".strip(": \n"))
        if entry.get("type") == "apply_start" and self._on_start is not None:
            self._on_start(str(entry.get("@timestamp")))
            self._on_start = None
        if self._on_progress and entry.get("type", "").startswith(("apply_", "planned_change", "change_summary")):
            self._on_progress(str(entry.get("@message", "")))

    def _failure(self, verb: str, done: Completed) -> TerraformError:
        lines = [line.strip("│╷╵ ") for line in (done.stderr or done.stdout).splitlines()]
        errors = [line for line in lines if line.startswith("Error:")]
        first = (self.words or errors or lines or [f"exit status {done.exit_code}"])[0]
        return TerraformError(
            f"terraform: {verb} failed: {first.splitlines()[0]}",
            details="\n".join(self.words) or done.last_words,
            resolution="see Terraform's own output: `make logs`",
        )
