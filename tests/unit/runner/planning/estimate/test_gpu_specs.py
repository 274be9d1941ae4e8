import csv
from pathlib import Path

import pytest

from runner.clouds.lambda_cloud.emulator.catalog import INSTANCE_TYPES
from runner.clouds.runpod.emulator.catalog import GPU_TYPES
from runner.errors import UsageError
from runner.planning.estimate.gpu_specs import COLUMNS, find_gpu, gpu_of_machine, gpu_specs
from runner.prices.price_list import CATALOG

ROW = "L4,,24,121,,30.3,300,8.9,72,2026-11-21,somebody"


def table(folder: Path, *rows: str) -> Path:
    path = folder / "gpu_specs.csv"
    path.write_text("\n".join([",".join(COLUMNS), *rows]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NVIDIA A100-SXM4-80GB", "A100 SXM 80 GB"),
        ("NVIDIA A100 80GB PCIe", "A100 PCIe 80 GB"),
        ("A100 (40 GB SXM4)", "A100 SXM 40 GB"),
        ("gpu_8x_a100_80gb_sxm4", "A100 SXM 80 GB"),
        ("gpu_1x_h100_pcie", "H100 PCIe"),
        ("NVIDIA H100 80GB HBM3", "H100 SXM"),
        ("NVIDIA H100 NVL", "H100 NVL"),
        ("8x H100 (80 GB SXM5)", "H100 SXM"),
        ("NVIDIA GH200 480GB", "GH200"),
        ("gpu_1x_b200_sxm6", "B200 SXM"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("RTX_4090", "RTX 4090"),
        ("RTX_6000Ada", "RTX 6000 Ada"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada"),
        ("Quadro RTX 6000", "Quadro RTX 6000"),
        ("RTX 6000 (24 GB)", "Quadro RTX 6000"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX PRO 6000 Blackwell"),
        ("Tesla V100-SXM2-16GB", "V100 SXM 16 GB"),
        ("Tesla T4", "T4"),
        ("NVIDIA A10G", "A10G"),
        ("NVIDIA L40S", "L40S"),
        ("AMD Instinct MI300X OAM", "MI300X"),
        ("Apple M2 Ultra", "Apple M2 Ultra"),
    ],
)
def test_a_gpu_is_found_in_anybodys_spelling(name: str, expected: str) -> None:
    found = find_gpu(name)

    assert found is not None
    assert found.name == expected


@pytest.mark.parametrize("name", ["", "AMD EPYC 9R14", "g5.xlarge", "RTX 9090", "NVIDIA", "80GB"])
def test_a_stranger_is_none(name: str) -> None:
    assert find_gpu(name) is None


@pytest.mark.parametrize(
    ("instance_type", "gpu_name", "memory_gib", "expected"),
    [
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition MIG 1g.24gb", "PRO 6000 MIG 24GB", 23.1, 122.3),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition MIG 2g.48gb", "PRO 6000 MIG 48GB", 46.2, 250.0),
        ("somebody's name of it", "PRO 6000 MIG 48GB", 48.0, 250.0),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX PRO 6000", 96.0, 500.0),
    ],
)
def test_a_slice_of_a_gpu_has_figures_of_its_own(
    instance_type: str, gpu_name: str, memory_gib: float, expected: float
) -> None:
    found = gpu_of_machine(instance_type, gpu_name, memory_gib)

    assert found is not None
    assert found.bf16_tflops == expected


@pytest.mark.parametrize("name", ["NVIDIA H100 80GB HBM3 MIG 1g.24gb", "H100 MIG", "NVIDIA H200 MIG 1g.18gb"])
def test_a_slice_without_known_figures_is_not_taken_for_the_whole_gpu(name: str) -> None:
    assert gpu_of_machine(name, name, 24.0) is None


def test_the_memory_says_which_one_is_meant() -> None:
    names = [spec.name for memory in (40.0, 80.0, None) if (spec := find_gpu("A100", memory))]

    assert names == ["A100 SXM 40 GB", "A100 SXM 80 GB", "A100 SXM 40 GB"]


def test_a_machines_name_says_more_than_its_gpus_where_it_says_anything() -> None:
    lambda_machine = gpu_of_machine("gpu_1x_h100_pcie", "H100", 80.0)
    aws_machine = gpu_of_machine("g5.xlarge", "A10G", 24.0)

    assert lambda_machine is not None
    assert aws_machine is not None
    assert (lambda_machine.name, aws_machine.name) == ("H100 PCIe", "A10G")


def test_every_gpu_of_the_price_lists_is_known() -> None:
    listed = set()
    for path in CATALOG.glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            listed |= {(path.stem, line["gpu_name"]) for line in csv.DictReader(file)}

    unknown = {place for place in listed if place[1] and "Apple" not in place[1] and find_gpu(place[1]) is None}

    assert listed
    assert unknown == set()


def test_every_gpu_of_the_emulated_clouds_is_known() -> None:
    names = {*INSTANCE_TYPES, *GPU_TYPES}

    assert {name for name in names if find_gpu(name) is None} == set()


def test_every_row_has_a_source_and_its_own_name() -> None:
    rows = gpu_specs()

    assert len({row.name for row in rows}) == len(rows)
    assert all(row.source and row.as_of for row in rows)
    assert all(spec.name == row.name for row in rows if (spec := find_gpu(row.name, row.memory_gib)))


def test_a_gpu_without_bfloat16_trains_in_float16() -> None:
    old, new, apple = find_gpu("T4"), find_gpu("L4"), find_gpu("Apple M2 Max")

    assert old is not None
    assert new is not None
    assert apple is not None
    assert (old.training_tflops, new.training_tflops, apple.training_tflops) == (65.0, 121.0, None)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (ROW.replace("121", "many"), "line 2 of gpu_specs.csv cannot be read"),
        (ROW.replace("121", "-3"), "line 2 of gpu_specs.csv cannot be read"),
        (ROW.replace("2026-11-21", "today"), "line 2 of gpu_specs.csv cannot be read"),
        (ROW.replace("somebody", ""), "line 2 of gpu_specs.csv has no name or no source"),
        ("L4", "line 2 of gpu_specs.csv cannot be read"),
    ],
)
def test_a_row_that_is_wrong_is_refused(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        gpu_specs(table(tmp_path, row))


def test_other_columns_are_refused(tmp_path: Path) -> None:
    path = table(tmp_path, ROW)
    path.write_text("name,price\nL4,1\n", encoding="utf-8")

    with pytest.raises(UsageError, match="has the columns"):
        gpu_specs(path)
