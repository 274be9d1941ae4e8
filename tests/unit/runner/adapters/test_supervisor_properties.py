"""Whatever a machine's programs print: an answer of the kind that was asked for, or an expected error."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runner.adapters.interpreter import find_python
from runner.adapters.machine import Machine
from runner.adapters.supervisor import read_status
from runner.errors import HostWordsError, PlaybookFailedError, TrainingFailedError, TransferError
from runner.run.models import Box, Completed, TrainerStatus
from tests.tools.examples import examples
from tests.tools.odd_values import changed, values
from tests.unit.runner.adapters.test_ssh_df import HEAD, Saying

STATUS = {"state": "running", "exit_code": None, "step": 3, "checkpoint": 2}
DF = f"{HEAD}/dev/vda1  50000000 10000000  40000000  20% /\n"
words = st.text(max_size=60)


class There(Saying):
    """The same machine, on which everything exists."""

    def exists(self, path: str) -> bool:
        return True

    def run(self, argv: Sequence[str], **options: Any) -> Completed:
        return Completed(tuple(argv), 0, self.stdout)


def machine(stdout: str) -> Machine:
    return There(Path("/nowhere"), stdout)


@examples(200)
@given(stdout=words | st.tuples(words, changed(STATUS) | values).map(lambda said: f"{said[0]}\n{json.dumps(said[1])}"))
def test_a_supervisors_answer_is_a_status_or_none(stdout: str) -> None:
    with contextlib.suppress(TrainingFailedError):
        found = read_status(machine(stdout), Box("/home/u"))
        assert isinstance(found, TrainerStatus)
        assert found.state in ("none", "running", "exited", "lost")
        assert all(number is None or type(number) is int for number in (found.exit_code, found.step, found.checkpoint))


@examples(200)
@given(
    stdout=words | st.lists(words, max_size=3).map("\n".join) | st.sampled_from(["/usr/bin/python3\n", "/{{ x }}\n"])
)
def test_a_path_of_python_is_a_plain_one(stdout: str) -> None:
    with contextlib.suppress(PlaybookFailedError, HostWordsError):
        found = find_python(machine(stdout), any_will_do=True)
        assert found.startswith("/")
        assert not set(found) & set("{}$`'\"\\%:;\n\0")


@examples(200)
@given(stdout=words | st.builds(lambda at, more: DF[:at] + more + DF[at:], st.integers(0, len(DF)), words))
def test_free_space_is_a_number_of_bytes(stdout: str) -> None:
    with contextlib.suppress(TransferError):
        assert There(Path("/nowhere"), stdout).free_bytes("/home/u") >= 0
