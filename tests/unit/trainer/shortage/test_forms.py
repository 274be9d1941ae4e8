"""A lack of memory is recognised in whatever form it shows, and nothing else is taken for it."""

from __future__ import annotations

import errno
import signal
from pathlib import Path

import pytest
import torch

from trainer.shortage.forms import Shortage, is_shortage, kernel_kills, shortage_at_end, shortages_of, words_of

BITSANDBYTES = "Error out of memory at line 380 in file /src/csrc/pythonInterface.cpp"


@pytest.mark.parametrize(
    "err",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23 GiB"),
        torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be reported later", 2),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("Triton Error [CUDA]: out of memory"),
        RuntimeError(BITSANDBYTES),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: not enough memory"),
        RuntimeError("unable to mmap 98 bytes from file <model.safetensors>: Cannot allocate memory (12)"),
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
    ids=lambda err: str(err)[:40] or type(err).__name__,
)
def test_each_form_of_out_of_memory_is_recognised_and_put_in_one_line(err: Exception) -> None:
    assert is_shortage(err)
    assert "\n" not in words_of(err)
    assert words_of(err)


@pytest.mark.parametrize(
    "err",
    [
        RuntimeError("out of resource: shared memory, Required: 147456, Hardware limit: 101376"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasGemmEx`"),
        RuntimeError("CUDA error: device-side assert triggered"),
        OSError(errno.ENOSPC, "No space left on device"),
        ValueError("out of memory"),  # of what was given, not of a library that computes
    ],
)
def test_what_fewer_rows_would_not_help_is_no_lack_of_memory(err: Exception) -> None:
    assert not is_shortage(err)


def test_an_error_raised_from_a_lack_of_memory_is_one() -> None:
    err = RuntimeError("backward failed")
    err.__cause__ = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    assert is_shortage(err)
    assert words_of(err) == "CUDA out of memory. Tried to allocate 2 GiB"


def test_the_innermost_block_names_the_work() -> None:
    with pytest.raises(Shortage) as caught, shortages_of("training"), shortages_of("evaluation"):
        raise MemoryError

    assert (caught.value.work, caught.value.message) == ("evaluation", "the machine's memory is full")


def test_other_errors_pass_through_a_block_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="something else"), shortages_of("training"):
        raise RuntimeError("something else")


@pytest.mark.parametrize(
    ("code", "log", "kills", "words"),
    [
        (-signal.SIGKILL, "", 1, "the kernel killed the trainer"),
        (-signal.SIGKILL, "step 1: CUDA out of memory was said before", 0, None),  # somebody else's kill -9
        (1, f"step 3/12\n{BITSANDBYTES}\n", 0, BITSANDBYTES),
        (-signal.SIGABRT, "terminate called after throwing an instance of 'std::bad_alloc'", 0, "std::bad_alloc"),
        (1, "Traceback\nKeyError: 'x'\n", 0, None),
        (0, BITSANDBYTES, 1, None),
    ],
)
def test_an_end_without_last_words_is_explained_by_the_kernel_or_the_log(
    code: int, log: str, kills: int, words: str | None
) -> None:
    found = shortage_at_end(code, log, kills)

    assert found is None if words is None else words in (found or "")


@pytest.mark.parametrize(
    ("group", "path", "content"),
    [
        ("0::/user.slice/run-1.scope", "sys/fs/cgroup/user.slice/run-1.scope/memory.events", "oom 4\noom_kill 3\n"),
        ("0::/", "sys/fs/cgroup/memory.events", "low 0\noom_kill 3\noom_group_kill 0\n"),
        ("4:cpu,memory:/box", "sys/fs/cgroup/memory/box/memory.oom_control", "under_oom 0\noom_kill 3\n"),
        ("4:memory:/docker/1", "sys/fs/cgroup/memory/memory.oom_control", "oom_kill 3\n"),
        ("2:cpu:/", "proc/vmstat", "nr_free_pages 17\noom_kill 3\n"),
    ],
    ids=["own group", "container", "version 1", "version 1, container", "no group counts"],
)
def test_the_kernels_kills_are_counted_where_the_process_lives(
    tmp_path: Path, group: str, path: str, content: str
) -> None:
    for name, text in {"proc/vmstat": "oom_kill 99\n", "proc/self/cgroup": f"{group}\n", path: content}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    assert kernel_kills(tmp_path) == 3


def test_without_a_kernel_that_counts_there_are_no_kills(tmp_path: Path) -> None:
    assert kernel_kills(tmp_path) == 0
