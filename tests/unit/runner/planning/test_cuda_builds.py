"""Which build of PyTorch a driver can run, by the same table that the machine goes by."""

from __future__ import annotations

import pytest

from runner.planning.cuda_builds import build_for, builds_on, cuda_builds


@pytest.mark.parametrize(
    ("driver", "machine", "lock"),
    [
        ("580", "x86_64", "trainer-cuda.lock"),
        ("580.65.06", "aarch64", "trainer-cuda.lock"),
        ("1000.1", "x86_64", "trainer-cuda.lock"),
        ("579.99.99", "x86_64", "trainer-cuda12.lock"),
        ("525.60.13", "x86_64", "trainer-cuda12.lock"),
        ("524.99", "x86_64", None),
        ("579.99", "aarch64", None),
        ("580", "ppc64le", None),
        ("", "x86_64", None),
        ("580.²", "x86_64", "trainer-cuda.lock"),
        ("⁵⁸⁰", "x86_64", None),
    ],
)
def test_a_driver_gets_the_newest_build_that_it_can_run(driver: str, machine: str, lock: str | None) -> None:
    found = build_for(driver, machine)

    assert (None if found is None else found.lock) == lock


def test_the_newest_comes_first_and_each_says_what_it_needs() -> None:
    newest, older = cuda_builds()

    assert (newest.needs, older.needs) == (
        "torch 2.13.0 with CUDA 13.0 needs driver 580 or newer",
        "torch 2.10.0 with CUDA 12.8 needs driver 525 or newer",
    )
    assert builds_on("aarch64") == (newest,)
    assert older.to_role()["path"].endswith("requirements/trainer-cuda12.lock")
