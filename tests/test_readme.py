"""The README: its commands, paths and links are true, and what it shows first works on a fresh clone.

Commands stand in ``console`` blocks, on lines that begin with ``$``; what is only shown stands in ``text`` blocks.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from runner.adapters.packages import packaged_model
from runner.world import RealWorld
from tests.emulated_hub import Library, files_of, served_hub
from trainer.base_model.load import prepare_base_model
from trainer.config.sections import ModelSection
from trainer.files import cache_folder

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
MADE_BY_TRAINING = ("train", "test")
PLACES = re.compile(r"^(adapter|checksums|report|receipt) +(\S.*)$", re.MULTILINE)
FILE_ENDINGS = (".md", ".py", ".yml", ".json", ".jsonl", ".toml", ".png")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[str]:
    """Return the commands of the console blocks, in order."""
    return [
        line[2:]
        for block in blocks(text, "console")
        for line in block.splitlines()
        if line.startswith("$ ") and line[2:]
    ]


def inline_code(text: str) -> list[str]:
    """Return what stands between single backticks, blocks left out."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", prose)


def make_commands(text: str) -> list[str]:
    """Return every ``make`` with a target that the text shows: to run, to look at, or in a sentence."""
    shown = [line for block in blocks(text, "text") for line in block.splitlines()]
    return [line for line in (*commands(text), *shown, *inline_code(text)) if line.startswith("make ")]


def wrong_with_make(command: str) -> str | None:
    """Return what is wrong with a ``make`` command: no such target, or a variable that changes nothing."""
    words = shlex.split(command)[1:]
    phony = re.search(r"^\.PHONY:(.*?)(?<!\\)$", makefile(), re.MULTILINE | re.DOTALL)
    assert phony is not None
    targets = [word for word in words if "=" not in word]
    for target in targets:
        if target not in phony[1].split():
            return f"{command}: there is no target {target}"
    if dry_run(*words) is None:
        return f"{command}: make refuses it"
    for word in words:
        name, equals, _ = word.partition("=")
        if equals and dry_run(*words) == dry_run(*(other for other in words if other != word)):
            return f"{command}: {name} changes nothing there"
    return None


def makefile() -> str:
    return (REPOSITORY / "Makefile").read_text(encoding="utf-8")


def dry_run(*words: str) -> str | None:
    """Return what make would do, or ``None`` where it refuses."""
    done = subprocess.run(
        ["make", "--dry-run", *words],
        cwd=REPOSITORY,
        env=plain_environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout if done.returncode == 0 else None


def missing_paths(text: str, root: Path) -> list[str]:
    """Return the paths that the text names and that are not there; what a run makes is left out."""
    named = [word for code in inline_code(text) for word in code.split()]
    paths = [word for word in named if re.fullmatch(r"[\w.][\w./-]*", word)]
    ours = [word for word in paths if "/" in word or word.endswith(FILE_ENDINGS)]
    return [path for path in ours if not path.startswith("runs/") and not (root / path).exists()]


def broken_links(text: str, root: Path) -> list[str]:
    """Return the links and pictures whose file or heading is not there; the network is left alone."""
    headings = {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    }
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        if (path and not (root / path).exists()) or (not path and anchor not in headings):
            broken.append(target)
    return broken


def plain_environment() -> dict[str, str]:
    """Return the environment of a person's shell: without our virtual environment, make's and the tests' own words."""
    ours = (
        "HF_",
        "OMP_",
        "TOKENIZERS_",
        "PYTEST_",
        "MAKE",
        "MFLAGS",
        "VIRTUAL_ENV",
        "PYTHON",
        "COVERAGE_",
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    programs = str(Path(sys.prefix) / "bin")
    kept["PATH"] = os.pathsep.join(part for part in kept["PATH"].split(os.pathsep) if part != programs)
    return kept


def test_the_first_command_is_the_whole_story() -> None:
    assert commands(README)[0] == "make train"
    assert "make test" in commands(README)


def test_every_command_is_one_that_make_knows() -> None:
    assert [wrong_with_make(command) for command in make_commands(README) if wrong_with_make(command)] == []
    assert [command for command in commands(README) if not command.startswith("make ")] == []


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("make trian", "there is no target trian"),
        ("make status CONFIG=my.yml", "make refuses it"),
        ("make train CONFGI=my.yml", "make refuses it"),
        ("make status APPLY=1", "make refuses it"),
        ("make sweep APPLY=1", None),
        ("make train CONFIG=my.yml ENV=existing HOST=me@there", None),
    ],
)
def test_the_search_for_wrong_commands_finds_them(command: str, wrong: str | None) -> None:
    found = wrong_with_make(command)

    assert found == (None if wrong is None else f"{command}: {wrong}")


def test_every_path_is_there() -> None:
    assert missing_paths(README, REPOSITORY) == []


def test_every_link_leads_somewhere() -> None:
    assert broken_links(README, REPOSITORY) == []


def test_the_searches_for_paths_and_links_find_what_is_not_there(tmp_path: Path) -> None:
    text = (
        "# A title\n`docs/gone.md`, `gone.py`, `runs/x/adapter`, `max_length` and\n```text\n`a/b`\n```\n"
        "[one](gone.png) [two](#a-title) [three](#gone) [four](https://example.org/x)\n"
    )

    assert missing_paths(text, tmp_path) == ["docs/gone.md", "gone.py"]
    assert broken_links(text, tmp_path) == ["gone.png", "#gone"]


def test_the_folder_map_is_the_folders() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, timeout=30)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    folders = {name.split("/")[0] for name in listed.stdout.splitlines() if "/" in name}
    rows = [line.split("|")[1] for line in README.splitlines() if line.startswith("| `")]

    assert {folder for row in rows for folder in re.findall(r"`(\w+)/`", row)} == {
        folder for folder in folders if not folder.startswith(".")
    }


@dataclass(frozen=True)
class Clone:
    """A fresh clone in which the README's first command has ended."""

    folder: Path
    done: subprocess.CompletedProcess[str]

    @property
    def places(self) -> dict[str, Path]:
        """What the command said at its end: where things are."""
        return {name: self.folder / path for name, path in PLACES.findall(self.done.stdout)}


def call(folder: Path, command: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        shlex.split(command), cwd=folder, env=plain_environment(), capture_output=True, text=True, timeout=timeout_s
    )


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    folder = tmp_path_factory.mktemp("clone") / "douse"
    cloned = call(REPOSITORY, f"git clone --quiet {shlex.quote(str(REPOSITORY))} {shlex.quote(str(folder))}", 120)
    if cloned.returncode != 0:
        pytest.skip(f"not a git checkout: {cloned.stderr}")
    try:
        yield Clone(folder, call(folder, commands(README)[0], 2400))
    finally:
        call(folder, "make down", 120)
        shutil.rmtree(folder, ignore_errors=True)


def in_clone(test):  # type: ignore[no-untyped-def]
    """Mark a test that needs the clone: slow, with time for set-up and training, and where the one clone is."""
    return pytest.mark.xdist_group("clone")(pytest.mark.slow(pytest.mark.timeout(3000)(test)))


@in_clone
def test_the_first_command_gives_a_proved_adapter(clone: Clone) -> None:
    assert clone.done.returncode == 0, clone.done.stdout + clone.done.stderr
    assert set(clone.places) == {"adapter", "checksums", "report", "receipt"}
    assert [name for name, path in clone.places.items() if not path.exists()] == []
    adapter = clone.places["adapter"]
    assert json.loads((adapter / "acceptance.json").read_text())["accepted"] is True
    losses = json.loads((adapter / "metrics.json").read_text())["eval"]
    assert losses["adapter_4bit"]["loss"] <= losses["base_4bit"]["loss"] * 2 / 3


@in_clone
def test_the_adapters_checksums_are_right(clone: Clone) -> None:
    program = "sha256sum" if shutil.which("sha256sum") else "shasum -a 256"

    checked = call(clone.places["adapter"], f"{program} -c {clone.places['checksums'].name}", 60)

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "adapter_model.safetensors: OK" in checked.stdout


@in_clone
def test_no_file_of_the_adapter_holds_a_path_of_the_machine_that_made_it(clone: Clone) -> None:
    places = {
        str(folder).encode() for folder in (clone.folder, clone.folder.resolve().parent, Path.home(), cache_folder())
    }
    files = [path for path in clone.places["adapter"].rglob("*") if path.is_file()]

    assert {"adapter_config.json", "manifest.json", "training_config.yaml", "README.md"} <= {
        path.name for path in files
    }
    assert [path.name for path in files if any(place in path.read_bytes() for place in places)] == []


PLAIN_PEFT = """
import sys, torch
from peft import AutoPeftModelForCausalLM
model = AutoPeftModelForCausalLM.from_pretrained(sys.argv[1]).eval()
ids = torch.tensor([[1, 2, 3, 4]])
with torch.no_grad():
    adapted = model(input_ids=ids).logits
    with model.disable_adapter():
        difference = (adapted - model(input_ids=ids).logits).abs().max()
print(bool(torch.isfinite(adapted).all()), bool(difference > 0.1))
"""


@in_clone
@pytest.mark.enable_socket
def test_the_adapter_loads_by_name_with_plain_peft_where_nobody_has_seen_the_run(clone: Clone, tmp_path: Path) -> None:
    adapter, library = shutil.copytree(clone.places["adapter"], tmp_path / "adapter"), Library()
    base = prepare_base_model(ModelSection(base_model=str(packaged_model(cache_folder(), RealWorld()))))
    named = json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"]
    library.add("models", named, files_of(Path(base)))

    with served_hub(library) as hub:
        hubs = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_CACHE": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": "1"}
        done = subprocess.run(
            [sys.executable, "-c", PLAIN_PEFT, str(adapter)],
            cwd=tmp_path,
            env=plain_environment() | hubs,
            capture_output=True,
            text=True,
            timeout=600,
        )

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "True"]


@in_clone
def test_the_example_script_asks_the_adapter(clone: Clone, tmp_path: Path) -> None:
    (run,) = (clone.folder / "runs").glob("*-quickstart-*")
    trainers = run / "box" / "venv" / "bin" / "python"
    python = trainers if trainers.exists() else Path(sys.executable)
    line = (clone.folder / "examples" / "quickstart" / "eval.jsonl").read_text(encoding="utf-8").splitlines()[0]
    question = json.loads(line)["messages"][-2]["content"]
    source, whole = (clone.folder / "examples" / "load_adapter.py").read_text(encoding="utf-8"), "max_new_tokens=128"
    assert source.count(whole) == 1
    script = tmp_path / "begins_to_answer.py"
    script.write_text(source.replace(whole, "max_new_tokens=4"), encoding="utf-8")  # a word a second, and one is enough
    # Without a copy of the base the script takes it from the Hub, by the name that the adapter gives.
    base = prepare_base_model(ModelSection(base_model=str(packaged_model(cache_folder(), RealWorld()))))
    words = [str(python), str(script), str(clone.places["adapter"]), question, base]

    asked = call(clone.folder.parent, shlex.join(words), 300)

    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.strip().startswith("{"), "the quickstart teaches to answer in JSON"


@in_clone
def test_the_other_commands_work_after_it(clone: Clone) -> None:
    others = [command for command in commands(README) if command.split()[1] not in MADE_BY_TRAINING]
    assert {"make runs", "make status", "make report"} <= set(others)

    # A plan is a run of its own, and would be the latest: it comes last.
    for command in sorted(others, key=lambda command: command.split()[1] == "plan"):
        done = call(clone.folder, command, 300)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        assert done.stdout.strip(), f"{command} says nothing"


@in_clone
def test_a_second_call_sets_nothing_up_again(clone: Clone) -> None:
    stamp = clone.folder / ".venv" / "douse-stamp.json"
    before = stamp.stat().st_mtime_ns

    done = call(clone.folder, "make status", 60)

    assert (done.returncode, stamp.stat().st_mtime_ns) == (0, before)
    assert done.stderr == ""
