"""Whether Triton can compile: what is missing is named, and nothing is tried where nothing would use it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from trainer.training import compiling
from trainer.training.compiling import why_no_triton

CUDA = torch.device("cuda")


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose only program is a compiler, and whose Python has headers."""
    program = tmp_path / "bin" / "gcc"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "Python.h").write_text("")
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(compiling.sysconfig, "get_path", lambda name: str(tmp_path / name))
    return program


def kernel(monkeypatch: pytest.MonkeyPatch, answer: bool | Exception) -> None:
    """Let Triton's kernel give this answer."""

    def computes(device: torch.device) -> bool:
        if isinstance(answer, Exception):
            raise answer
        return answer

    module = ModuleType("trainer.training.triton_kernel")
    module.computes = computes  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.parametrize("kind", ["cpu", "mps"])
def test_nothing_is_missed_where_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    assert why_no_triton(torch.device(kind)) is None


def test_a_missing_compiler_and_missing_headers_are_named(compiler: Path, tmp_path: Path) -> None:
    (tmp_path / "include" / "Python.h").unlink()
    headers = why_no_triton(CUDA)
    compiler.unlink()

    assert headers == f"Python's headers are missing ({tmp_path}/include/Python.h)"
    assert why_no_triton(CUDA) == "there is no C compiler (gcc or clang)"


def test_a_compiler_may_be_named_by_the_variable_that_triton_reads(
    compiler: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler.unlink()
    monkeypatch.setenv("CC", "/opt/cc")
    kernel(monkeypatch, answer=True)

    assert why_no_triton(CUDA) is None


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (True, None),
        (False, "its results are wrong"),
        (RuntimeError("ld: cannot\n find -lcuda"), "RuntimeError: ld: cannot find -lcuda"),
    ],
)
def test_the_kernel_has_the_last_word(
    monkeypatch: pytest.MonkeyPatch, answer: bool | Exception, why: str | None
) -> None:
    kernel(monkeypatch, answer)

    assert why_no_triton(CUDA) == why


@pytest.mark.usefixtures("compiler")
def test_a_pytorch_without_triton_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, "trainer.training.triton_kernel", raising=False)

    assert str(why_no_triton(CUDA)).startswith("ModuleNotFoundError: ")
