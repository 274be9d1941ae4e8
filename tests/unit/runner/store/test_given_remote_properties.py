"""Whatever a remote's keys hold: rclone reads on the machine what it reads here."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable

from hypothesis import example, given
from hypothesis import strategies as st

from runner.store.given_remote import given_remote
from runner.world import RealWorld
from tests.tools.examples import examples

VALUES = st.text(alphabet="`\"' a%()s\\=;#:,[]${}\t\u2028ü", min_size=1, max_size=8).filter(
    lambda value: re.search(r"%\([^)]+\)s", value) is None and not ("`" in value and '"' in value)
)
"""Others are refused, or may be."""


@examples(10)
@given(values=st.lists(VALUES, min_size=50, max_size=150))
@example(values=[" a secret ", "`a`", "`a", '"""a"""', "a`b", "%(", "a\\"])
def test_rclone_reads_each_value_again_as_it_was(values: list[str], known: Callable[[str], None], rclone: str) -> None:
    known("[x]\ntype = webdav\n")
    variables = {f"RCLONE_CONFIG_X_K{number}": value for number, value in enumerate(values)}

    known(given_remote("rclone://x/runs", RealWorld({**os.environ, **variables})).text)

    read = json.loads(subprocess.check_output([rclone, "config", "dump"]))["x"]
    assert read == {"type": "webdav", **{f"k{number}": value for number, value in enumerate(values)}}
