"""The user data of a machine, as cloud-init reads it before its first boot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from runner.adapters.keys import public_key


def cloud_config(host_key: Path, commands: Sequence[Sequence[str]] = (), files: Mapping[str, str] | None = None) -> str:
    """Return the cloud-config of a machine that proves itself by a key of the run's own.

    Args:
        host_key: File of the private half of the key; the public one lies beside it.
        commands: What the first boot runs.
        files: Text files of root's that are there before, by their paths.
    """
    keys = (host_key.read_text(encoding="ascii"), public_key(host_key))
    return _written(keys, tuple(map(tuple, commands)), tuple((files or {}).items()))


@lru_cache(maxsize=1)
def _written(keys: tuple[str, str], commands: tuple[tuple[str, ...], ...], files: tuple[tuple[str, str], ...]) -> str:
    """Return the text; each step that calls Terraform wants the same again, and writing YAML takes its time."""
    config: dict[str, Any] = {
        "ssh_deletekeys": True,
        "ssh_keys": dict(zip(("ed25519_private", "ed25519_public"), keys, strict=True)),
    }
    if files:
        config["write_files"] = [{"path": path, "content": text} for path, text in files]
    if commands:
        config["runcmd"] = [list(words) for words in commands]
    return "#cloud-config\n" + yaml.safe_dump(config, sort_keys=False)
