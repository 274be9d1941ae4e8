"""The user data of a machine, as cloud-init reads it before its first boot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    config: dict[str, Any] = {
        "ssh_deletekeys": True,
        "ssh_keys": {
            "ed25519_private": host_key.read_text(encoding="ascii"),
            "ed25519_public": public_key(host_key),
        },
    }
    if files:
        config["write_files"] = [{"path": path, "content": text} for path, text in files.items()]
    if commands:
        config["runcmd"] = [list(words) for words in commands]
    return "#cloud-config\n" + yaml.safe_dump(config, sort_keys=False)
