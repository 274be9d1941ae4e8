"""Bad inputs as a user meets them: the real command line, three lines, status 2, and nothing installed.

``tests/unit/runner/lifecycle/steps/test_plan.py`` has the same rules one by one and fast;
this is the whole program around them.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
GOOD = '{"messages": [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "There."}]}\n'
OTHER = '{"messages": [{"role": "user", "content": "When?"}, {"role": "assistant", "content": "Then."}]}\n'
LONG = GOOD.replace("Where?", "Where? " * 200)
RUN_FILE = """run:
  name: tiny
model:
  base_model: {model}
data:
  train_path: train.jsonl
  eval_path: eval.jsonl
  max_length: 64
"""
pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path, tiny_model: Path) -> Path:
    (tmp_path / "train.jsonl").write_text(GOOD)
    (tmp_path / "eval.jsonl").write_text(OTHER)
    (tmp_path / "run.yml").write_text(RUN_FILE.format(model=tiny_model))
    return tmp_path


def train(folder: Path, *words: str) -> list[str]:
    """Return the command line of ``make train`` once it is set up, with a folder of its own for the runs."""
    run_file, runs = str(folder / "run.yml"), str(folder / "runs")
    return [sys.executable, "-m", "runner", "train", "--config", run_file, "--runs-dir", runs, *words]


def run(argv: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, **variables}
    return subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=500, env=environ)


def assert_refused(done: subprocess.CompletedProcess[str], *fragments: str) -> None:
    """Check status and stderr: exactly three lines, the first with all the fragments."""
    lines = done.stderr.splitlines()
    assert (done.returncode, len(lines)) == (2, 3), done.stderr
    assert [line[:7] for line in lines] == ["error: ", "hint:  ", "log:   "]
    assert all(len(line) > 10 for line in lines)
    for fragment in fragments:
        assert fragment in lines[0]


def edit(old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "run.yml"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return change


def samples(text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "train.jsonl").write_text(text)

    return change


@pytest.mark.parametrize(
    ("break_it", "words", "fragments"),
    [
        (edit("max_length", "max_lenght"), [], ["run.yml:8", "data.max_lenght", "did you mean `max_length`?"]),
        (edit("max_length: 64", "max_length: long"), [], ["run.yml:8", "data.max_length is 'long'", "integer"]),
        (edit("train.jsonl", "gone.jsonl"), [], ["gone.jsonl"]),
        (samples(""), [], ["train.jsonl", "holds no sample"]),
        (samples(GOOD + OTHER.replace("W", "w") + "{half\n"), [], ["train.jsonl:3", "JSON"]),
        (samples(GOOD + LONG), [], ["train.jsonl", "nothing to learn within max_length 64: line 2"]),
        (lambda folder: None, ["--env", "locall"], ["no environment locall"]),
        (edit("max_length: 64", "max_length: 4096"), [], ["max_length: 4,096 tokens", "512"]),
    ],
    ids=[
        *("unknown-key", "wrong-type", "missing-file", "empty-file", "broken-json", "all-masked", "unknown-env"),
        "too-long-for-the-model",
    ],
)
def test_a_bad_input_ends_before_anything_is_installed(
    folder: Path, break_it: Callable[[Path], None], words: list[str], fragments: list[str]
) -> None:
    break_it(folder)

    done = run(train(folder, *words))

    assert_refused(done, *fragments)
    log = folder / "runs" / "last-error.log"
    assert done.stderr.splitlines()[2] == f"log:   {log}"
    assert "Traceback" in log.read_text()
    assert [path.name for path in (folder / "runs").rglob("*")] == ["last-error.log"]


@pytest.mark.parametrize("verb", ["train", "plan", "data-check"])
def test_a_broken_proxy_on_the_way_to_the_hub_is_reported_at_once(folder: Path, tiny_model: Path, verb: str) -> None:
    edit(str(tiny_model), "org/name")(folder)
    proxy = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9")
    argv = [verb if word == "train" else word for word in train(folder)]

    done = run(argv, HF_HUB_OFFLINE="0", HF_HOME=str(folder / "hub"), **proxy)

    assert_refused(done, "org/name is not in the cache, and the Hub cannot be reached")
    assert "check the network and the proxy (HTTPS_PROXY)" in done.stderr


def test_a_full_disk_ends_before_anything_is_installed(folder: Path) -> None:
    (folder / "runs").mkdir()
    command = shlex.join(train(folder))
    script = (
        f"mount -t tmpfs -o size=16m douse-test {folder}/runs || exit 99\n"
        f"{command}; status=$?; find {folder}/runs -mindepth 1; exit $status"
    )

    done = run([*own_mounts(), "bash", "-c", script])

    assert_refused(done, "0.0 GiB are free", "this run needs")
    assert [line for line in done.stdout.splitlines() if line.startswith(f"{folder}/runs/")] == [
        f"{folder}/runs/last-error.log"
    ]


def own_mounts() -> list[str]:
    """Return how to run a program that may mount what only it sees, or skip the test."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("needs unshare")
    argv = [unshare, "--mount"] if os.geteuid() == 0 else [unshare, "--user", "--map-root-user", "--mount"]
    tried = [*argv, "mount", "-t", "tmpfs", "none", "/mnt"]
    if subprocess.run(tried, capture_output=True, timeout=30).returncode != 0:
        pytest.skip("needs to mount a small disk: root, or user namespaces")
    return argv
