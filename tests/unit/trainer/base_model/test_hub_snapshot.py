"""A base model's weights from the emulated Hub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.emulated_hub import TOKEN, Account, HubFault, Library, ServedHub, lead_to, served_hub
from trainer.base_model import hub_snapshot
from trainer.base_model.hub_files import HubUnreachableError
from trainer.base_model.hub_snapshot import fetch_snapshot
from trainer.errors import BaseModelError

INDEX = json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}).encode()
SMALL = {"config.json": b"{}", "tokenizer.json": b"{}", "chat_template.jinja": b"x", "README.md": b"long"}
WHOLE = SMALL | {"model.safetensors": b"weights", "pytorch_model.bin": b"the same", "modeling.py": b"pass"}
SHARDED = SMALL | {"model.safetensors.index.json": INDEX, "one.safetensors": b"1", "two.safetensors": b"2"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServedHub]:
    library = Library()
    library.add("models", "org/name", WHOLE)
    library.add("models", "org/sharded", SHARDED | {"consolidated.safetensors": b"12"})
    library.add("models", "org/old", SMALL | {"pytorch_model.bin": b"weights"})
    library.add("models", "org/none", SMALL | {"model.onnx": b"weights"})
    library.add("models", "org/private", WHOLE, is_private=True)
    library.admit(TOKEN, Account("me", frozenset({"org/private"})))
    with served_hub(library) as served:
        lead_to(served.endpoint, tmp_path / "cache", monkeypatch)
        yield served


def fetched(name: str, **options: bool) -> set[str]:
    """Return the names of the files that are fetched of a model."""
    folder = fetch_snapshot(name, None, with_code=options.get("with_code", False), waits_s=())
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("org/name", {"model.safetensors"}),
        ("org/sharded", {"model.safetensors.index.json", "one.safetensors", "two.safetensors"}),
        ("org/old", {"pytorch_model.bin"}),
    ],
)
def test_only_what_is_loaded_is_fetched(hub: ServedHub, name: str, weights: set[str]) -> None:
    assert fetched(name) == {"config.json", "tokenizer.json", "chat_template.jinja"} | weights


def test_code_of_the_model_is_fetched_where_it_is_trusted(hub: ServedHub) -> None:
    assert "modeling.py" in fetched("org/name", with_code=True)


def test_the_folder_is_named_for_the_commit(hub: ServedHub) -> None:
    first = fetch_snapshot("org/name", None, with_code=False).name
    second = hub.hub.library.add("models", "org/name", WHOLE | {"model.safetensors": b"newer"})

    assert fetch_snapshot("org/name", first, with_code=False).name == first
    assert fetch_snapshot("org/name", None, with_code=False).name == second


def test_a_model_without_weights_for_transformers_is_named(hub: ServedHub) -> None:
    with pytest.raises(BaseModelError, match="org/none has no weights in transformers format on the Hub"):
        fetched("org/none")


@pytest.mark.parametrize(
    ("name", "problem"),
    [("org/nowhere", "is not on the Hub, or is private"), ("org/private", "is not on the Hub, or is private")],
)
def test_a_model_that_cannot_be_had_is_named(hub: ServedHub, name: str, problem: str) -> None:
    with pytest.raises(BaseModelError, match=f"{name} {problem}"):
        fetched(name)


def test_a_token_opens_a_private_model(hub: ServedHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)

    assert "model.safetensors" in fetched("org/private")


@pytest.mark.parametrize("kind", ["too_many", "down"])
def test_a_hub_that_has_no_time_is_asked_again(hub: ServedHub, kind: str) -> None:
    hub.hub.faults.add(HubFault(kind, times=2, path="/api/models/org/name", retry_after_s=0))  # type: ignore[arg-type]

    assert fetch_snapshot("org/name", None, with_code=False, waits_s=(0.0, 0.0)).is_dir()
    assert [one.fault for one in hub.hub.log()[:3]] == [kind, kind, None]


def test_who_is_asked_to_wait_waits_as_long(hub: ServedHub, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(hub_snapshot, "sleep", waited.append)
    hub.hub.faults.add(HubFault("too_many", path="/api/models/org/name", retry_after_s=77))
    hub.hub.faults.add(HubFault("too_many", path="/api/models/org/name", retry_after_s=9999))
    hub.hub.faults.add(HubFault("down", path="/api/models/org/name"))

    assert fetch_snapshot("org/name", None, with_code=False, waits_s=(1.0, 2.0, 4.0)).is_dir()
    assert waited == [77.0, 300.0, 4.0]


def test_a_hub_that_stays_down_is_reported_and_the_cache_is_taken_where_it_is_whole(hub: ServedHub) -> None:
    folder = fetch_snapshot("org/name", None, with_code=False)
    (folder.parents[1] / "refs").mkdir(exist_ok=True)
    (folder.parents[1] / "refs" / "main").write_text(folder.name)
    hub.hub.faults.add(HubFault("down", times=100))

    assert fetch_snapshot("org/name", folder.name, with_code=False, waits_s=()) == folder
    assert fetch_snapshot("org/name", None, with_code=False, waits_s=()) == folder
    with pytest.raises(HubUnreachableError, match="the Hub is in trouble"):
        fetched("org/sharded")


def test_offline_the_cache_is_taken_and_nobody_is_asked(hub: ServedHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    folder = fetch_snapshot("org/name", None, with_code=False)
    asked = len(hub.hub.log())
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    assert fetch_snapshot("org/name", folder.name, with_code=False) == folder
    with pytest.raises(HubUnreachableError, match="HF_HUB_OFFLINE is set"):
        fetch_snapshot("org/sharded", None, with_code=False)
    assert len(hub.hub.log()) == asked


def test_a_cache_that_lacks_a_shard_is_not_taken(hub: ServedHub) -> None:
    folder = fetch_snapshot("org/sharded", None, with_code=False)
    (folder / "two.safetensors").unlink()
    hub.hub.faults.add(HubFault("down", times=100))

    with pytest.raises(HubUnreachableError):
        fetch_snapshot("org/sharded", folder.name, with_code=False, waits_s=())


def test_where_xet_storage_fails_the_download_is_made_over_plain_http(
    hub: ServedHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub
    from huggingface_hub import constants

    plain, xet_was_off = huggingface_hub.snapshot_download, list[bool]()

    def download(*args: object, **options: object) -> str:
        xet_was_off.append(constants.HF_HUB_DISABLE_XET)
        if not constants.HF_HUB_DISABLE_XET:
            raise RuntimeError("CAS service error: ReqwestMiddleware")
        return str(plain(*args, **options))  # type: ignore[arg-type]

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)

    assert "model.safetensors" in fetched("org/name")
    assert xet_was_off == [False, True]


def test_what_xet_is_not_to_blame_for_is_not_tried_twice(hub: ServedHub, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub import constants

    tried: list[int] = []

    def fail(*args: object, **options: object) -> str:
        tried.append(1)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)

    with pytest.raises(BaseModelError, match=r"org/name cannot be fetched into .*No space left"):
        fetched("org/name")
    assert tried == [1]
