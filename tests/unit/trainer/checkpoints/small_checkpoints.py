"""Checkpoints of a few bytes, and what lies where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from runner.emulation.s3.account import BUCKET
from trainer.checkpoints.complete import REQUIRED_FILES, complete

FINGERPRINTS = {"recipe": "r", "data": "d", "base_model": "b", "environment": "e"}


def make_checkpoint(folder: Path, step: int, *, is_complete: bool = True, best: int | None = None) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    for name in REQUIRED_FILES:
        (path / name).write_text(f"{name} of step {step}")
    if best is not None:
        (path / "trainer_state.json").write_text(json.dumps({"best_model_checkpoint": f"/srv/checkpoint-{best}"}))
    if is_complete:
        complete(path, step, FINGERPRINTS)
    return path


def keys(client: Any) -> list[str]:
    return sorted(entry["Key"] for entry in client.list_objects_v2(Bucket=BUCKET).get("Contents", []))


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
