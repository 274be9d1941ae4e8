"""The script in examples/ that uses an adapter without Douse."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

from tests.trained_adapter import AdapterCase

SCRIPT = Path(__file__).resolve().parents[3] / "examples" / "load_adapter.py"


def imports_of(source: str) -> set[str]:
    """Return the packages that a program imports, late imports included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or ".").split(".")[0])
    return found


def ask(adapter: Path, question: str, base: str, elsewhere: Path) -> subprocess.CompletedProcess[str]:
    """Run the script away from the repository, where nothing of ours can be imported."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    script = elsewhere / "script.py"
    script.write_text(SCRIPT.read_text())
    return subprocess.run(
        [sys.executable, "-P", str(script), str(adapter), question, base],
        cwd=elsewhere,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
    )


def test_the_script_imports_nothing_of_ours_and_is_short() -> None:
    source = SCRIPT.read_text()

    assert imports_of(source) == {"sys", "torch", "peft", "transformers"}
    calls = [node for node in ast.parse(source).body if not isinstance(node, ast.Import | ast.ImportFrom)]
    assert len(calls) - 1 <= 11, "it is there to show how little it takes"


def test_the_search_for_imports_finds_them() -> None:
    assert imports_of(
        "def late():\n    from trainer.base_model.load import load_base\nimport runner.cli.parser, os"
    ) == {
        *("trainer", "runner", "os"),
    }


def test_the_script_answers_as_the_adapter_was_taught(adapter_case: AdapterCase, tmp_path: Path) -> None:
    question = "Page 59: what is the height of the Heron market?"

    done = ask(adapter_case.folder, question, adapter_case.recipe.model.base_model, tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith('{"answer":'), done.stdout
