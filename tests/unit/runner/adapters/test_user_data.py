"""User data: what cloud-init reads before a machine's first boot, for whichever key there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from runner.adapters.keys import make_key
from runner.adapters.user_data import cloud_config


def test_user_data_hold_the_key_the_commands_and_the_files_that_are_asked_for(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for key in (one, other):
        make_key(key)

    first: dict[str, Any] = yaml.safe_load(cloud_config(one, [["touch", "/done"]], {"/etc/note": "a\nb\n"}))
    second: dict[str, Any] = yaml.safe_load(cloud_config(other))

    assert first["ssh_keys"]["ed25519_private"] == one.read_text(encoding="ascii")
    assert first["write_files"] == [{"path": "/etc/note", "content": "a\nb\n"}]
    assert first["runcmd"] == [["touch", "/done"]]
    assert second["ssh_keys"]["ed25519_private"] == other.read_text(encoding="ascii")
    assert set(second) == {"ssh_deletekeys", "ssh_keys"}
