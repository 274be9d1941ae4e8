"""What the benchmark of the outbox counts, on made-up saves, and its slow line."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from benchmarks import outbox
from benchmarks.outbox import Save, beyond_s, show, timed
from runner.emulation.s3 import slow_line
from runner.emulation.s3.slow_line import SlowLine


def saves(*seconds: tuple[float, float]) -> list[Save]:
    """Return pairs of saves: paused, at work."""
    return [Save(is_beside, is_beside, pair[is_beside], 60_000_000) for pair in seconds for is_beside in (False, True)]


def test_what_counts_is_the_difference_of_the_medians() -> None:
    found = saves((0.2, 0.3), (0.2, 0.4), (9.0, 0.3))

    assert beyond_s(found) == pytest.approx(0.1)
    assert "100 ms by the medians, 0.50% of an interval of 20 s" in show(found, 20.0, 31_000_000)
    assert "at 3 saves beside the outbox" in show(found, 20.0, 0)


@pytest.mark.parametrize(("beside_s", "status"), [(0.39, 0), (0.41, 1)])
def test_more_than_a_hundredth_of_the_interval_fails(
    beside_s: float, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "measure", lambda *_: saves((0.2, beside_s)))
    monkeypatch.setattr(outbox, "serve", lambda folder, speed: (folder / "store.json").write_text("{}"))
    monkeypatch.setattr(outbox, "slow_store", lambda folder, speed: outbox.contextmanager(lambda: iter([{}]))())

    assert outbox.main(["--interval-s", "20"]) == status


def test_the_outbox_pauses_after_every_second_save(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "checkpoint-1").mkdir(parents=True)
    (tmp_path / "checkpoints" / "checkpoint-1" / "optimizer.pt").write_bytes(b"12345")
    found: list[Save] = []
    works: list[bool] = []
    save = timed(lambda model, trial: None, tmp_path, found, works.append)

    save(None, None)
    (tmp_path / ".outbox" / "checkpoints" / "checkpoint-1").mkdir(parents=True)
    save(None, None)

    assert works == [True, False]
    assert [(one.is_beside, one.is_sending, one.size_bytes) for one in found] == [(False, False, 5), (True, True, 5)]


class Clock:
    """A time that only waiting moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(slow_line, "time", found)
    return found


def test_a_slow_line_carries_so_many_bytes_in_a_second_and_all_of_them(clock: Clock) -> None:
    line, came = SlowLine(1000.0, piece_bytes=100), list[bytes]()

    def app(environ: dict[str, object], start_response: Callable[..., object]) -> list[bytes]:
        came.append(environ["wsgi.input"].read())  # type: ignore[attr-defined]
        return []

    for body in (b"x" * 1550, b""):
        line.in_front_of(app)({"CONTENT_LENGTH": str(len(body)), "wsgi.input": BytesIO(body)}, lambda *_: None)

    assert came == [b"x" * 1550, b""]
    assert line.taken_bytes == 1550
    assert clock.now_s == pytest.approx(101.55)
