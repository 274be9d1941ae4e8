from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from runner.cli import account_verbs, verbs
from runner.cli.parser import main, make_parser
from runner.cli.verb_table import DEFAULT_CONFIG, VERBS, actions

HEAVY = ("runner.cli.verbs", "runner.cli.session", "runner.context", "pydantic", "yaml", "rich", "torch")
NEEDED_BY_FEW = ("paramiko", "tokenizers", "jinja2", "boto3", "trainer.data.samples", "runner.planning.checks.examine")
"""What logs in, or looks at data and base models: `runs`, `status` and `down` do neither."""


def test_every_verb_does_something_and_nothing_is_done_without_a_verb() -> None:
    names = [verb.name for verb in VERBS]

    assert set(actions()) == set(names)
    assert len(set(names)) == len(names)


def test_a_verb_does_what_the_function_of_its_name_does() -> None:
    assert {name: action.__name__.replace("_", "-") for name, action in actions().items()} == {
        name: name for name in actions()
    }


def test_every_function_of_the_verbs_modules_is_a_verb() -> None:
    found = set()
    for module in (verbs, account_verbs):
        tree = ast.parse(Path(module.__file__).read_text())
        names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        found |= {name.replace("_", "-") for name in names if not name.startswith("_")}

    assert found == set(actions())


def test_an_unknown_verb_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["trian"])

    assert caught.value.code == 2
    assert "invalid choice: 'trian'" in capsys.readouterr().err


def test_the_arguments_of_a_verb_are_read_as_its_help_says() -> None:
    parser = make_parser()

    assert parser.parse_args(["train"]).config == DEFAULT_CONFIG
    assert parser.parse_args(["sync", "pull", "--run", "r1"]).direction == "pull"
    assert parser.parse_args(["resume", "--set", "a.b=1", "--set", "c.d=2"]).set == ["a.b=1", "c.d=2"]


def test_one_parser_reads_every_command_line_and_keeps_nothing_of_it() -> None:
    assert make_parser().parse_args(["train", "--set", "a.b=1", "--yes"]).yes
    assert make_parser().parse_args(["train"]).set == []
    assert not make_parser().parse_args(["train"]).yes
    assert make_parser() is make_parser()


def test_help_imports_nothing_heavy() -> None:
    words = "import sys; from runner.cli import parser; parser.make_parser().format_help(); "
    code = f"{words}print({{*{HEAVY}}} & {{*sys.modules}})"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert (done.stdout, done.stderr) == ("set()\n", "")


def test_a_verb_that_logs_in_nowhere_and_plans_nothing_imports_nothing_for_it(tmp_path: Path) -> None:
    words = "import sys; from runner.cli.parser import main; code = main(['runs', '--runs-dir', sys.argv[1]]); "
    code = f"{words}print(code, {{*{NEEDED_BY_FEW}}} & {{*sys.modules}})"

    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60)

    assert (done.stdout.splitlines()[-1], done.stderr) == ("0 set()", "")
