"""Whatever ``nvidia-smi`` prints on a machine: one line of the plan that steers no terminal."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from runner.planning.checks.gpus import check_gpus
from runner.run.host_words import one_line
from tests.tools.examples import examples
from tests.unit.runner.planning.checks.small_run import make_run
from tests.unit.runner.planning.checks.test_given_machine import There

SMI = "NVIDIA A10, 580.95.05, 8.6\nNVIDIA GeForce RTX 4090, 580.95.05, 8.9\nx86_64\n"
names = st.sampled_from(["NVIDIA A10", "Tesla K80", "[N/A]", ""]) | st.text(max_size=8)
drivers = st.sampled_from(["580.95.05", "470.1", "580.²", "٥٨٠.١", "[N/A]", ""]) | st.text(max_size=8)
capabilities = st.sampled_from(["8.6", "3.7", "8.²", "٨.٦", "[N/A]", ""]) | st.text(max_size=4)
rows = st.lists(st.tuples(names, drivers, capabilities).map(", ".join), max_size=3).map(
    lambda lines: "\n".join([*lines, "x86_64"])
)
near = st.builds(lambda at, more: SMI[:at] + more + SMI[at:], st.integers(0, len(SMI)), st.text(max_size=6))


@examples(300)
@given(stdout=rows | near, exit_code=st.sampled_from([0, 0, 0, 1, 9, 127, -9]))
def test_any_words_of_a_driver_make_one_line(stdout: str, exit_code: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        line = check_gpus(make_run(Path(folder)), There(Path(folder), {"nvidia-smi": (exit_code, stdout)}))

    assert line.name == "gpu there"
    assert one_line(line.value) == line.value.strip()
