"""What benchmarks share that rehearse whole runs on emulated clouds, with a stand-in for the trainer."""

from __future__ import annotations

from pathlib import Path

from runner.emulation.boxes import supported

STAND_IN = "tests.unit.runner.lab.drive"
NO_GPU = ("compute.gpu_required=false", "compute.min_gpu_memory_gib=0", "compute.ssh_ingress_cidrs=[10.77.0.0/16]")


def need_boxes() -> None:
    """End this program, with the reason, where no machines can be booted."""
    if (reason := supported()) is not None:
        raise SystemExit(f"error: this machine cannot boot machines of its own: {reason}")


def write_stand_in_run_file(folder: Path) -> Path:
    """Write a run file that the stand-ins take, with its data, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.jsonl").write_text('{"prompt": "Why?", "completion": "Because."}\n', encoding="utf-8")
    (folder / "eval.jsonl").write_text('{"prompt": "When?", "completion": "Then."}\n', encoding="utf-8")
    config = folder / "run.yml"
    config.write_text(
        "run: {name: tiny}\ndata: {train_path: train.jsonl, eval_path: eval.jsonl}\nmonitoring: {tensorboard: false}\n",
        encoding="utf-8",
    )
    return config
