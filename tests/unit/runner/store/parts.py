"""A run with a store, and the folder that stands in for its machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from runner.adapters.stop import Stop
from runner.context import Context
from runner.run.models import Host
from runner.run.run_dir import RunDir
from runner.run.run_file import RunFile
from runner.world import RealWorld
from tests.unit.runner.conftest import BUCKET
from tests.unit.runner.fake_run import run_named
from trainer.checkpoints.complete import REQUIRED_FILES, complete

HOST = Host("localhost", 22, "me", "i-1", "gpu_1x_a10", "us-east-1", False, 0.75, None, "lambda")
RUN_ID = "20261121-090000-tiny"
ROLE = "arn:aws:iam::123456789012:role/douse-runs"


class Lines:
    """A view that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def line(self, text: str) -> None:
        self.said.append(text)

    def progress(self, text: str) -> None:
        self.said.append(text)


def context(
    tmp_path: Path, store: dict[str, Any], *, env: str = "lambda", environ: dict[str, str] | None = None, **budget: Any
) -> Context:
    run = RunDir(tmp_path / "runs" / RUN_ID, RealWorld())
    if not run.path.exists():
        run = run_named(tmp_path / "runs", RUN_ID)
    values = {"compute": {"env": env, "prefix": str(tmp_path / "box")}, "budget": budget, "store": store}
    return Context(run, RunFile.model_validate(values), Lines(), Stop(RealWorld()), RealWorld(environ))  # type: ignore[arg-type]


def make_checkpoint(folder: Path, step: int, mark: str = "") -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    for name in REQUIRED_FILES:
        (path / name).write_text(f"{name} of step {step}{mark}")
    complete(path, step, {"recipe": "r", "data": "d", "base_model": "b", "environment": "e"})
    return path


def order_of(tmp_path: Path) -> dict[str, Any]:
    order: dict[str, Any] = json.loads((tmp_path / "box" / RUN_ID / "lease" / "upload.json").read_text())
    return order


def said(ctx: Context) -> list[str]:
    return ctx.view.said  # type: ignore[attr-defined, no-any-return]


def way_to(store: dict[str, Any]) -> dict[str, Any]:
    """How the trainer's ``push`` and ``pull`` get there."""
    ca_file = store.get("ca_file")
    return {"endpoint_url": store.get("endpoint_url"), "ca_file": None if ca_file is None else Path(ca_file)}


def s3(**more: Any) -> dict[str, Any]:
    return {"url": f"s3://{BUCKET}/runs", **more}
