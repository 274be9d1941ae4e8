"""The supervisor over stand-in trainers: small scripts that sleep, end, fail or refuse to stop."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.unit.trainer.supervisor.metadata_service import Service
from trainer.errors import EXIT_INTERRUPTED, EXIT_RESTART, TrainerError
from trainer.events import read_events
from trainer.supervisor import supervise
from trainer.supervisor.status import read_status, signal_process

TIMEOUT_S = 240.0

ENDS_WELL = "print('done')"
FAILS = "import sys; sys.exit(2)"
SLEEPS = "import time; print('up', flush=True); time.sleep(600)"
STOPS_ON_SIGTERM = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
print('up', flush=True)
time.sleep(600)
"""
WILL_NOT_STOP = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('up', flush=True)
time.sleep(600)
"""


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Start a stand-in trainer under a real supervisor; whatever is left of it is killed at the end."""
    output = tmp_path / "output"

    def start(
        script: str,
        *,
        max_hours: float | None = None,
        secrets: Path | None = None,
        store: Path | None = None,
        metadata_url: str | None = None,
        before: str = "pass",
    ) -> Path:
        boot = (
            f"from pathlib import Path; from trainer.supervisor import supervise; import sys\n{before}\n"
            f"supervise._trainer_command = lambda *a, **k: [sys.executable, '-c', {script!r}]; "
            f"more = dict(resume=False, max_hours={max_hours}, store={store and str(store)!r}); "
            f"more['metadata_url'] = {metadata_url!r}; "
            f"sys.exit(supervise.run(Path('c'), Path({str(output)!r}), **more))"
        )
        monkeypatch.setattr(supervise, "_supervisor_command", lambda *a, **k: [sys.executable, "-c", boot])
        monkeypatch.setattr(supervise, "START_TIMEOUT_S", TIMEOUT_S)
        supervise.start(tmp_path / "c", output, resume=False, max_hours=max_hours, secrets=secrets)
        return output

    yield start
    who = supervise.read_json(output / "supervisor.json") or {}
    for role in ("supervisor", "trainer"):
        if f"{role}_pid" in who:
            signal_process(who[f"{role}_pid"], who[f"{role}_started"], signal.SIGKILL)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.02)


def wait_until_up(output: Path) -> None:
    wait_for(lambda: "up" in (output / "trainer.log").read_text())


def state_of(output: Path) -> tuple[str, int | None]:
    status = read_status(output)
    return status.state, status.exit_code


def pid_of(output: Path, role: str) -> int:
    return int(json.loads((output / "supervisor.json").read_text())[f"{role}_pid"])


@pytest.mark.parametrize(("script", "code"), [(ENDS_WELL, 0), (FAILS, 2)])
def test_the_trainers_exit_status_is_kept(launch: Callable[..., Path], script: str, code: int) -> None:
    output = launch(script)

    wait_for(lambda: state_of(output)[0] == "exited")

    assert state_of(output) == ("exited", code)


def test_a_run_that_was_never_started_is_none(tmp_path: Path) -> None:
    assert state_of(tmp_path) == ("none", None)


def test_it_runs_in_a_session_of_its_own_with_its_streams_in_files(launch: Callable[..., Path]) -> None:
    output = launch(SLEEPS)

    assert state_of(output) == ("running", None)
    assert os.getsid(pid_of(output, "trainer")) == pid_of(output, "supervisor") != os.getsid(0)
    log = str(output / "trainer.log")
    assert {str(Path(f"/proc/{pid_of(output, 'trainer')}/fd/{number}").readlink()) for number in (1, 2)} == {log}


def test_stopping_lets_the_trainer_save_and_keeps_its_status(launch: Callable[..., Path]) -> None:
    output = launch(STOPS_ON_SIGTERM)
    wait_until_up(output)

    status = supervise.stop(output, timeout_s=TIMEOUT_S, now=False)

    assert (status.state, status.exit_code) == ("exited", 75)


def test_a_trainer_that_was_started_anew_while_it_was_stopped_is_asked_as_well(
    launch: Callable[..., Path], tmp_path: Path
) -> None:
    """The first is out of memory just when it is asked to stop."""
    is_second = tmp_path / "output" / "second"
    script = f"""
import signal, sys, time
from pathlib import Path
from trainer.events import EventLog
is_second = Path({str(is_second)!r})
def stop(*_):
    if not is_second.exists():
        is_second.touch()
        EventLog(is_second.with_name("events.jsonl")).write("out_of_memory", measure="m")
        sys.exit({EXIT_RESTART})
    sys.exit({EXIT_INTERRUPTED})
signal.signal(signal.SIGTERM, stop)
print('up', flush=True)
time.sleep(600)
"""
    output = launch(script)
    wait_until_up(output)

    status = supervise.stop(output, timeout_s=TIMEOUT_S, now=False)

    assert is_second.exists()
    assert status.state == "exited"
    assert status.exit_code in (EXIT_INTERRUPTED, 128 + signal.SIGTERM)  # it may be asked before it listens


def test_a_trainer_that_will_not_stop_is_killed_after_the_timeout(launch: Callable[..., Path]) -> None:
    output = launch(WILL_NOT_STOP)
    wait_until_up(output)
    trainer = pid_of(output, "trainer")

    status = supervise.stop(output, timeout_s=0.2, now=False)

    assert (status.state, status.exit_code) == ("exited", 137)
    wait_for(lambda: not psutil.pid_exists(trainer) or psutil.Process(trainer).status() == psutil.STATUS_ZOMBIE)


def test_stopping_now_kills_at_once(launch: Callable[..., Path]) -> None:
    output = launch(STOPS_ON_SIGTERM)
    wait_until_up(output)

    status = supervise.stop(output, timeout_s=TIMEOUT_S, now=True)

    assert (status.state, status.exit_code) == ("exited", 137)


def test_stopping_twice_changes_nothing(launch: Callable[..., Path]) -> None:
    output = launch(STOPS_ON_SIGTERM)
    wait_until_up(output)
    first = supervise.stop(output, timeout_s=TIMEOUT_S, now=False)

    assert supervise.stop(output, timeout_s=TIMEOUT_S, now=False) == first


def test_a_second_start_is_refused_while_one_runs(launch: Callable[..., Path]) -> None:
    output = launch(SLEEPS)

    with pytest.raises(TrainerError, match=r"running in .* already"):
        supervise.start(output / "c", output, resume=False, max_hours=None)


def test_a_killed_trainer_has_the_signal_as_its_status(launch: Callable[..., Path]) -> None:
    output = launch(SLEEPS)
    os.kill(pid_of(output, "trainer"), signal.SIGKILL)

    wait_for(lambda: state_of(output)[0] == "exited")

    assert json.loads((output / "exit.json").read_text())["signal"] == signal.SIGKILL
    assert state_of(output) == ("exited", 137)


def test_when_both_are_killed_the_run_is_lost(launch: Callable[..., Path]) -> None:
    output = launch(SLEEPS)
    for role in ("supervisor", "trainer"):
        os.kill(pid_of(output, role), signal.SIGKILL)

    wait_for(lambda: state_of(output)[0] != "running")

    assert state_of(output) == ("lost", None)


def test_a_trainer_goes_on_without_its_supervisor(launch: Callable[..., Path]) -> None:
    output = launch(SLEEPS)
    os.kill(pid_of(output, "supervisor"), signal.SIGKILL)

    assert state_of(output) == ("running", None)


def test_without_a_supervisor_the_last_event_reports_the_end(launch: Callable[..., Path]) -> None:
    output = launch(SLEEPS)
    for role in ("supervisor", "trainer"):
        os.kill(pid_of(output, role), signal.SIGKILL)
    event = {"time": "9999-01-01T00:00:00+00:00", "event": "run_ended", "exit_code": 0}
    (output / "events.jsonl").write_text(json.dumps(event) + "\n")

    wait_for(lambda: state_of(output)[0] != "running")

    assert state_of(output) == ("exited", 0)


def past_the_limit_once_up(log: Path) -> str:
    """Return code by which the clock passes the limit of hours once the trainer is up."""
    return (
        "import time; real = time.monotonic\n"
        f"time.monotonic = lambda: real() + (7200.0 if 'up' in Path({str(log)!r}).read_text() else 0.0)"
    )


def test_the_time_limit_stops_the_run_orderly(launch: Callable[..., Path], tmp_path: Path) -> None:
    before = past_the_limit_once_up(tmp_path / "output" / "trainer.log")

    output = launch(STOPS_ON_SIGTERM, max_hours=1.0, before=before)

    wait_for(lambda: state_of(output)[0] == "exited")

    assert state_of(output) == ("exited", 75)
    assert "limit" in (output / "trainer.log").read_text()


def test_a_trainer_that_hangs_at_the_time_limit_is_killed(launch: Callable[..., Path], tmp_path: Path) -> None:
    before = past_the_limit_once_up(tmp_path / "output" / "trainer.log")

    output = launch(WILL_NOT_STOP, max_hours=1.0, before=f"{before}; supervise.LIMIT_GRACE_S = 0.1")

    wait_for(lambda: state_of(output)[0] == "exited")

    assert state_of(output) == ("exited", 128 + signal.SIGKILL)
    assert "did not stop within" in (output / "trainer.log").read_text()


def stands_still(output: Path, *, always: bool) -> str:
    """Return a trainer that stands still after some steps, the first time that it is started or each time."""
    return f"""
import sys, time
from pathlib import Path
from trainer.beat import Beat, show_stacks_on_signal
show_stacks_on_signal()
output = Path({str(output)!r})
beat = Beat(output)
with (output / "starts").open("a") as file:
    file.write("x")
def standing_here():
    time.sleep(600)
for _ in range(200):
    beat()
    time.sleep(0.01)
if {always} or (output / "starts").read_text() == "x":
    standing_here()
(output / "beat").unlink()
"""


@pytest.mark.parametrize(("always", "code"), [(False, 0), (True, 1)])
def test_a_trainer_that_stands_still_is_started_once_more(
    launch: Callable[..., Path], tmp_path: Path, always: bool, code: int
) -> None:
    short = "from trainer.supervisor import stall; stall.FLOOR_S = stall.FIRST_S = 2.0"

    output = launch(
        stands_still(tmp_path / "output", always=always), before=f"{short}; supervise.HEARTBEAT_INTERVAL_S = 0.05"
    )
    wait_for(lambda: state_of(output)[0] == "exited")

    assert state_of(output) == ("exited", code)
    assert (output / "starts").read_text() == "xx"
    log = (output / "trainer.log").read_text()
    assert log.count("in standing_here") == (2 if always else 1)
    events = [event["event"] for event in read_events(output / "events.jsonl")]
    assert events == (["stalled", "stalled", "run_ended"] if always else ["stalled"])


def test_a_recycled_process_number_is_not_taken_for_the_trainer(tmp_path: Path) -> None:
    who = {
        "supervisor_pid": os.getpid(),
        "supervisor_started": 1.0,
        "trainer_pid": os.getpid(),
        "trainer_started": 1.0,
        "started_at": "2026-01-01T00:00:00.000+00:00",
    }
    (tmp_path / "supervisor.json").write_text(json.dumps(who))

    assert state_of(tmp_path) == ("lost", None)
    assert supervise.stop(tmp_path, timeout_s=0.1, now=True).state == "lost"


def test_a_trainer_that_cannot_start_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "_supervisor_command", lambda *a, **k: [sys.executable, "-c", "raise SystemExit(3)"])

    with pytest.raises(TrainerError, match="did not start") as caught:
        supervise.start(tmp_path / "c", tmp_path / "output", resume=False, max_hours=None)
    assert "trainer.log" in caught.value.resolution


def test_secrets_reach_the_trainer_alone_and_their_file_is_gone(launch: Callable[..., Path], tmp_path: Path) -> None:
    secrets = tmp_path / "variables.json"
    secrets.write_text('{"HF_TOKEN": "hf_rehearsed"}')

    output = launch("import os; print('token', os.environ['HF_TOKEN'])", secrets=secrets)

    wait_for((output / "exit.json").exists)
    assert "token hf_rehearsed" in (output / "trainer.log").read_text()
    assert not secrets.exists()
    assert "HF_TOKEN" not in os.environ


def test_a_file_of_secrets_that_is_not_there_is_reported(launch: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="there is no file"):
        launch(ENDS_WELL, secrets=tmp_path / "none.json")


def test_the_trainer_is_not_given_the_whole_shell(launch: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LAMBDA_API_KEY", "AWS_SECRET_ACCESS_KEY", "NVIDIA_API_KEY", "SOMETHING_ELSE"):
        monkeypatch.setenv(name, "not-for-the-trainer")
    for name in ("HF_TOKEN", "CUDA_VISIBLE_DEVICES", "https_proxy"):
        monkeypatch.setenv(name, "for-the-trainer")

    output = launch("import json, os; print(json.dumps(dict(os.environ)))")

    wait_for((output / "exit.json").exists)
    found = json.loads((output / "trainer.log").read_text().splitlines()[-1])
    assert "not-for-the-trainer" not in found.values()
    assert [found[name] for name in ("HF_TOKEN", "CUDA_VISIBLE_DEVICES", "https_proxy")] == ["for-the-trainer"] * 3
    assert (found["PATH"], found["HOME"]) == (os.environ["PATH"], os.environ["HOME"])


SAVES = """
import sys, time
from pathlib import Path
from trainer.checkpoints.complete import REQUIRED_FILES, complete
path = Path({output!r}) / "checkpoints" / "checkpoint-2"
path.mkdir(parents=True)
for name in REQUIRED_FILES:
    (path / name).write_text(name)
complete(path, 2, {{"recipe": "r", "data": "d", "base_model": "b"}})
print("up", flush=True)
time.sleep({sleep_s})
"""


@pytest.fixture
def order(tmp_path: Path) -> Path:
    """The order for a store in a folder."""
    path = tmp_path / "upload.json"
    path.write_text(json.dumps({"url": f"file://{tmp_path}/store"}))
    return path


def stored(tmp_path: Path) -> bool:
    return (tmp_path / "store" / "checkpoints" / "checkpoint-2" / "manifest.json").is_file()


def children_of(output: Path) -> list[psutil.Process]:
    """Return the processes that a supervisor has besides the trainer."""
    return [
        child
        for child in psutil.Process(pid_of(output, "supervisor")).children()
        if child.pid != pid_of(output, "trainer") and child.status() != psutil.STATUS_ZOMBIE
    ]


def test_a_checkpoint_is_in_the_store_while_the_trainer_goes_on(
    launch: Callable[..., Path], tmp_path: Path, order: Path
) -> None:
    output = launch(SAVES.format(output=str(tmp_path / "output"), sleep_s=600), store=order)

    wait_for(lambda: stored(tmp_path))

    assert state_of(output) == ("running", None)
    assert [child.nice() for child in children_of(output)] == [19]


def test_the_outbox_outlives_its_supervisor_as_long_as_the_trainer_works(
    launch: Callable[..., Path], tmp_path: Path, order: Path
) -> None:
    output = launch(SLEEPS, store=order)
    wait_until_up(output)
    wait_for(lambda: len(children_of(output)) == 1)
    outbox = children_of(output)[0]
    psutil.Process(pid_of(output, "supervisor")).kill()

    exec(compile(SAVES.format(output=str(output), sleep_s=0), "saves", "exec"), {})
    wait_for(lambda: stored(tmp_path))
    psutil.Process(pid_of(output, "trainer")).kill()

    wait_for(lambda: not outbox.is_running() or outbox.status() == psutil.STATUS_ZOMBIE)


def test_an_outbox_that_was_killed_is_started_again(launch: Callable[..., Path], tmp_path: Path, order: Path) -> None:
    before = "supervise.RESTART_S = 0.0; supervise.HEARTBEAT_INTERVAL_S = 0.1"
    output = launch(SLEEPS, store=order, before=before)
    wait_until_up(output)
    wait_for(lambda: len(children_of(output)) == 1)

    children_of(output)[0].kill()
    exec(compile(SAVES.format(output=str(output), sleep_s=0), "saves", "exec"), {})

    wait_for(lambda: stored(tmp_path))


def test_what_the_trainer_leaves_at_its_end_goes_to_the_store_and_nothing_of_ours_stays(
    launch: Callable[..., Path], tmp_path: Path, order: Path
) -> None:
    output = launch(SAVES.format(output=str(tmp_path / "output"), sleep_s=0), store=order)
    wait_for(lambda: state_of(output) == ("exited", 0))

    wait_for(lambda: stored(tmp_path) and (tmp_path / "store" / "trainer.log").is_file())
    supervisor = pid_of(output, "supervisor")
    wait_for(lambda: not psutil.pid_exists(supervisor) or psutil.Process(supervisor).status() == psutil.STATUS_ZOMBIE)


HANGS = "import time\ntime.sleep(600)\n"
HAS_A_GPU = """
class NVMLError(Exception): pass
NVML_TEMPERATURE_GPU = NVML_MEMORY_ERROR_TYPE_UNCORRECTED = NVML_VOLATILE_ECC = 0
def nvmlInit(): pass
def nvmlDeviceGetCount(): return 1
def nvmlDeviceGetHandleByIndex(index): return index
def nvmlDeviceGetTemperature(gpu, sensor): return 61
def refused(*_): raise NVMLError
nvmlDeviceGetMemoryInfo = nvmlDeviceGetPowerUsage = nvmlDeviceGetUtilizationRates = nvmlDeviceGetPciInfo = refused
nvmlDeviceGetTotalEccErrors = nvmlEventSetCreate = refused
"""


def with_nvml(folder: Path, source: str) -> str:
    """Write a stub of NVML's binding; return what a supervisor does first so that it is found."""
    folder.mkdir()
    (folder / "pynvml.py").write_text(source)
    return f"import os; os.environ['PYTHONPATH'] = {str(folder)!r}; sys.path.insert(0, {str(folder)!r})"


def test_the_gpus_are_logged_beside_the_trainer(launch: Callable[..., Path], tmp_path: Path) -> None:
    output = launch(SLEEPS, before=with_nvml(tmp_path / "stub", HAS_A_GPU))

    wait_for(lambda: (output / "gpu.jsonl").exists() and (output / "gpu.jsonl").read_text().endswith("\n"))

    assert json.loads((output / "gpu.jsonl").read_text().splitlines()[0])["gpus"][0]["temperature_c"] == 61
    assert [child.nice() for child in children_of(output)] == [19]


def test_a_driver_that_hangs_keeps_nothing_from_its_end(launch: Callable[..., Path], tmp_path: Path) -> None:
    before = f"{with_nvml(tmp_path / 'stub', HANGS)}; supervise.HELPER_S = 0.1"
    output = launch(STOPS_ON_SIGTERM, before=before)
    wait_until_up(output)
    wait_for(lambda: len(children_of(output)) == 1)
    gpu_log, supervisor = children_of(output)[0], psutil.Process(pid_of(output, "supervisor"))

    assert supervise.stop(output, timeout_s=TIMEOUT_S, now=False).exit_code == 75

    for process in (gpu_log, supervisor):
        wait_for(lambda process=process: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)


def test_a_notice_of_the_cloud_ends_training_with_a_checkpoint(launch: Callable[..., Path], service: Service) -> None:
    output = launch(STOPS_ON_SIGTERM, metadata_url=service.url, before="supervise.HELPER_S = 0.1")
    wait_until_up(output)
    assert state_of(output) == ("running", None)

    service.takes_back()
    wait_for(lambda: state_of(output)[0] == "exited")

    assert state_of(output) == ("exited", 75)
    assert [event["event"] for event in read_events(output / "events.jsonl")] == ["reclaimed"]
