"""The one rule for the disk that a run needs: the plan and the preflight take it from here."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.planning.estimate.disk import DiskNeed, disk_of_run, files_bytes
from runner.planning.estimate.model_shape import shape_of
from tests.unit.runner.planning.checks.small_run import CONFIG, make_run, write_model


def test_the_size_of_a_model_that_is_not_here_is_known_by_its_shape(tmp_path: Path) -> None:
    run_file = make_run(tmp_path, compute={"env": "lambda"})
    shape = shape_of({**CONFIG, "vocab_size": 2**27, "hidden_size": 32})  # 2**32 weights in its embedding

    assert disk_of_run(run_file, None, None, tmp_path) == DiskNeed(there_gib=8.7, here_gib=pytest.approx(0.5))
    assert disk_of_run(run_file, None, shape, tmp_path).there_gib == 18.2


def test_the_small_files_of_a_model_are_not_its_size(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "other", weights=False)
    before = files_bytes(folder)
    (folder / "model.safetensors").write_bytes(b"0" * 100)

    assert (files_bytes(None), before) == (0, 0)
    assert files_bytes(folder) > 100
    assert files_bytes(folder / "model.safetensors") == 100


@pytest.mark.parametrize(("env", "there_gib"), [("local", 0.8), ("lambda", 8.7)])
def test_packages_that_are_here_are_not_on_a_rented_machine(tmp_path: Path, env: str, there_gib: float) -> None:
    (tmp_path / "cache" / "uv").mkdir(parents=True)

    need = disk_of_run(make_run(tmp_path, compute={"env": env}), None, None, tmp_path / "cache")

    assert need.there_gib == there_gib
    assert need.here_gib == pytest.approx(0.8 if env == "local" else 0.5)


def test_a_machine_without_a_gpu_gets_the_smaller_packages(tmp_path: Path) -> None:
    plain = make_run(tmp_path, compute={"env": "lambda", "gpu_required": False})

    assert disk_of_run(plain, None, None, tmp_path).there_gib == 2.5
