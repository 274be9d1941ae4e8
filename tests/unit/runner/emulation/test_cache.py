from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from runner.emulation import cache
from runner.emulation.cache import CacheError, read_cache, warm_cache
from runner.run.models import Completed
from trainer.files import write_json


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, a machine behind an index, and a wheel folder of its own."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    settings = {"UV_DEFAULT_INDEX": "https://index.invalid/simple", "UV_FIND_LINKS": f"{wheels},https://w.invalid"}
    monkeypatch.setenv("DOUSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_pip_settings", lambda: settings)
    for name in settings:
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


def make_warm(base: Path) -> None:
    home = cache._uv_home(base / "rehearsal")
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "uv").write_text("")
    (base / "uv").mkdir()
    (base / "rehearsal" / "layer-1").mkdir()
    write_json(cache._stamp(), {"layer": "layer-1"})


def test_a_warm_cache_is_found_without_running_anything(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_warm(base)
    monkeypatch.setattr(cache, "run", lambda *_, **__: pytest.fail("it ran a program"))

    found = warm_cache()

    assert found.layers == (base / "rehearsal" / "layer-1", base / "uv")
    assert found.wheel_folders == (base.parent / "wheels",)


def test_a_box_is_told_of_the_same_index_as_this_machine(base: Path) -> None:
    make_warm(base)
    found = read_cache()

    assert found is not None
    assert found.pip_conf.splitlines()[2:] == [
        "index-url = https://index.invalid/simple",
        f"find-links = {base.parent}/wheels https://w.invalid",
    ]


@pytest.mark.parametrize("lost", ["uv", "rehearsal/layer-1", "rehearsal"])
def test_a_cache_of_which_a_part_is_lost_is_not_warm(base: Path, lost: str) -> None:
    make_warm(base)
    (base / lost).rename(base.parent / "lost")

    assert read_cache() is None


def test_another_lock_or_another_index_makes_it_cold(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_warm(base)
    assert read_cache() is not None

    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://other.invalid/simple")

    assert read_cache() is None


def test_what_a_tool_said_is_in_the_error(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "run", lambda argv, **_: Completed(tuple(argv), 1, "", "no network\n"))

    with pytest.raises(CacheError) as caught:
        warm_cache()

    assert caught.value.message == "boxes: the package cache cannot be filled"
    assert caught.value.details == "no network"


def test_modules_are_compiled_beside_the_cache_and_scripts_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "in" / "x" / "x.data" / "scripts").mkdir(parents=True)
    (tmp_path / "in" / "x" / "module.py").write_text("A = 1\n")
    (tmp_path / "in" / "x" / "bad.py").write_text("A = = 1\n")
    (tmp_path / "in" / "x" / "x.data" / "scripts" / "tool.py").write_text("A = 1\n")

    cache._compile(tmp_path / "in", tmp_path / "out")

    assert [path.name for path in (tmp_path / "out").rglob("*.pyc")] == ["module.cpython-311.pyc"]
    assert not list((tmp_path / "in").rglob("*.pyc"))


def test_the_home_of_uv_has_the_name_that_the_playbooks_look_for(base: Path) -> None:
    """Ansible's ``lookup('file', …)`` leaves out the last newline."""
    text = cache.UV_LOCK.read_text().rstrip("\n")

    assert cache._uv_home(base).name == f"uv-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
