"""A stand-in for the trainer: same command line, same files, same exit statuses, no learning, standard library only.

What it "learns" is a hash over what it has learned before and the step: a checkpoint carries it on, and the adapter's
``learned.txt`` is the same as an undisturbed run's only where each step was trained once, on top of the one before.

The recipe's ``publishing.tags`` say how it behaves: ``steps=20``, ``step_s=0.1``, ``save_steps=3``, ``die_at=8``,
``stubborn``, ``fail``; ``gate=/a/file`` holds it after its sixth step until that file is there. ``short_at=8`` ends its
first start for lack of memory, and ``stall_at=8`` lets it stand still after that step, with ``stall_again`` each time:
its own supervisor takes no notice of these, the product's does (``../../product.py``). ``save_mb=20`` makes
checkpoints of that size.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib import request

GATED_STEP, GATE_S = 6, 240.0
WEIGHTS = "adapter_model.safetensors"
EXIT_RESTART = 71


def main() -> int:
    words = sys.argv[1:]
    verb = " ".join(words[:2]) if words[0] == "supervise" else words[0]
    parser = argparse.ArgumentParser()
    for name in ("--config", "--output"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--now", action="store_true")
    parser.add_argument("--max-hours", type=float)
    parser.add_argument("--secrets", type=Path)
    parser.add_argument("--metadata-url")
    parser.add_argument("--timeout-s", type=float, default=60)
    options = parser.parse_args(words[len(verb.split()) :])
    return {
        "train": train,
        "supervise start": start,
        "supervise run": supervise,
        "supervise status": status,
        "supervise stop": stop,
    }[verb](options)


def behaviour(options: argparse.Namespace) -> dict[str, str]:
    tags = json.loads(options.config.read_text())["publishing"]["tags"]
    usual = {"steps": "6", "step_s": "0.05", "save_steps": "3"}
    return usual | {key: value for key, _, value in (tag.partition("=") for tag in tags)}


def emit(output: Path, event: str, **values: object) -> None:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    with (output / "events.jsonl").open("a") as file:
        file.write(json.dumps({"time": now, "event": event, **values}) + "\n")


def train(options: argparse.Namespace) -> int:
    output, asked = options.output, behaviour(options)
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: stopped.append(number))
    faulthandler.register(signal.SIGUSR1)
    folder = output / "checkpoints"
    saved = sorted(folder.glob("checkpoint-*/manifest.json"), key=lambda path: int(path.parent.name.split("-")[1]))
    first, learned = 0, "nothing"
    if options.resume and saved:
        past = json.loads((saved[-1].parent / WEIGHTS).read_text())
        first, learned = past["step"], past["learned"]
    steps = int(asked["steps"])
    emit(output, "run_started", device="cpu", dtype="float32", max_steps=steps, resumed_from_step=first)
    for step in range(first + 1, steps + 1):
        time.sleep(float(asked["step_s"]))
        learned = hashlib.sha256(f"{learned} {step}".encode()).hexdigest()
        emit(output, "step", step=step, max_steps=steps, loss=2.0 / step, tokens_per_s=100.0, memory_gib=0.1)
        (output / "beat").touch()
        if step == int(asked.get("die_at", -1)) and not options.resume:
            os.kill(os.getpid(), signal.SIGKILL)
        if step % int(asked["save_steps"]) == 0 or stopped:
            save(folder / f"checkpoint-{step}", step, learned, int(1e6 * float(asked.get("save_mb", 0))))
            emit(output, "checkpoint_saved", step=step, path=f"checkpoint-{step}")
        if step == int(asked.get("short_at", -1)) and not options.resume:
            emit(output, "out_of_memory", step=step, message="no more", measure="micro-batches of 1 row instead of 2")
            return EXIT_RESTART
        stand_still_if_asked(step, options, asked)
        if step == GATED_STEP and "gate" in asked:
            wait_for(Path(asked["gate"]), stopped)
        if stopped and "stubborn" not in asked:
            emit(output, "interrupted", step=step, signal=stopped[0])
            emit(output, "run_ended", status="interrupted", exit_code=75, message="asked to stop", resolution="resume")
            return 75
    (output / "beat").unlink(missing_ok=True)
    if "fail" in asked:
        emit(output, "run_ended", status="failed", exit_code=1, message="train: loss is NaN", resolution="lower it")
        return 1
    given = json.loads(options.config.read_text())["training"]
    length = {f"training.{key}": given.get(key) for key in ("max_steps", "num_train_epochs")}
    write_folder(
        output / "adapter",
        {
            WEIGHTS: f"trained {steps} steps",
            "learned.txt": learned,
            "acceptance.json": '{"accepted": true}',
            "manifest.json": json.dumps({"length": length}),
        },
    )
    (output / "metrics.json").write_text("{}")
    emit(output, "run_ended", status="accepted", exit_code=0, message=None, resolution=None)
    return 0


def stand_still_if_asked(step: int, options: argparse.Namespace, asked: dict[str, str]) -> None:
    if step == int(asked.get("stall_at", -1)) and ("stall_again" in asked or not options.resume):
        stand_still()


def stand_still() -> None:
    threading.Event().wait()


def wait_for(gate: Path, stopped: list[int]) -> None:
    deadline = time.monotonic() + GATE_S
    while not gate.exists() and not stopped and time.monotonic() < deadline:
        time.sleep(0.02)


def save(folder: Path, step: int, learned: str, optimizer_bytes: int) -> None:
    names = (
        "adapter_config.json",
        WEIGHTS,
        "optimizer.pt",
        "rng_state.pth",
        "scheduler.pt",
        "trainer_state.json",
    )
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name in names:
        content = json.dumps({"step": step, "name": name, "learned": learned}).encode()
        content += os.urandom(optimizer_bytes if name == "optimizer.pt" else 0)
        (folder / name).write_bytes(content)
        files.append({"name": name, "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()})
    manifest = {"format": 1, "step": step, "files": files, "fingerprints": {}, "created_at": "now"}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def write_folder(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    sums = []
    for name, text in files.items():
        (folder / name).write_text(text)
        sums.append(f"{hashlib.sha256(text.encode()).hexdigest()}  {name}\n")
    (folder / "SHA256SUMS").write_text("".join(sums))


def start(options: argparse.Namespace) -> int:
    options.output.mkdir(parents=True, exist_ok=True)
    if state(options.output)["state"] == "running":
        return 1
    (options.output / "exit.json").unlink(missing_ok=True)
    (options.output / "supervisor.json").unlink(missing_ok=True)
    words = ["supervise", "run", "--config", str(options.config), "--output", str(options.output)]
    asked = ["--metadata-url", options.metadata_url] if options.metadata_url else []
    with (options.output / "trainer.log").open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "trainer", *words, *(["--resume"] if options.resume else []), *asked],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    while not (options.output / "supervisor.json").exists():
        time.sleep(0.01)
    print(json.dumps(state(options.output)))
    return 0


def supervise(options: argparse.Namespace) -> int:
    words = ["train", "--config", str(options.config), "--output", str(options.output)]
    child = subprocess.Popen([sys.executable, "-m", "trainer", *words, *(["--resume"] if options.resume else [])])
    part = options.output / "supervisor.part"
    part.write_text(json.dumps({"supervisor_pid": os.getpid(), "trainer_pid": child.pid}))
    part.replace(options.output / "supervisor.json")
    if options.metadata_url:
        threading.Thread(target=ask, args=(options, child), daemon=True).start()
    code = child.wait()
    part = options.output / "exit.part"
    part.write_text(json.dumps({"exit_code": code if code >= 0 else 128 - code, "signal": None, "ended_at": "now"}))
    part.replace(options.output / "exit.json")
    return 0


def ask(options: argparse.Namespace, child: subprocess.Popen[bytes]) -> None:
    """Ask the metadata service for a notice, and stop the trainer when there is one."""
    url, header = options.metadata_url, "X-aws-ec2-metadata-token"
    while child.poll() is None:
        time.sleep(1)
        with contextlib.suppress(OSError):
            put = request.Request(f"{url}/latest/api/token", method="PUT", headers={f"{header}-ttl-seconds": "60"})
            with request.urlopen(put, timeout=2) as answer:
                token = answer.read().decode()
            get = request.Request(f"{url}/latest/meta-data/spot/instance-action", headers={header: token})
            with request.urlopen(get, timeout=2) as answer:
                notice = json.loads(answer.read())
            emit(options.output, "reclaimed", step=0, action=notice["action"], at=notice["time"])
            child.send_signal(signal.SIGTERM)
            return


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def state(output: Path) -> dict[str, object]:
    steps = (
        [json.loads(line) for line in (output / "events.jsonl").read_text().splitlines()]
        if (output / "events.jsonl").exists()
        else []
    )
    last = [event["step"] for event in steps if event["event"] == "step"]
    answer: dict[str, object] = {"state": "none", "exit_code": None, "step": last[-1] if last else None}
    if (output / "exit.json").exists():
        answer |= {"state": "exited", "exit_code": json.loads((output / "exit.json").read_text())["exit_code"]}
    elif (output / "supervisor.json").exists():
        who = json.loads((output / "supervisor.json").read_text())
        answer["state"] = "running" if any(alive(pid) for pid in who.values()) else "lost"
    return answer | {"checkpoint": None}


def status(options: argparse.Namespace) -> int:
    print(json.dumps(state(options.output)))
    return 0


def stop(options: argparse.Namespace) -> int:
    deadline = time.monotonic() + options.timeout_s
    while state(options.output)["state"] == "running":
        who = json.loads((options.output / "supervisor.json").read_text())
        if options.now or time.monotonic() > deadline:
            for pid in who.values():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(who["trainer_pid"], signal.SIGTERM)
        time.sleep(0.05)
    return status(options)


if __name__ == "__main__":
    sys.exit(main())
