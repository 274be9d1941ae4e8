"""The shared Debian tree that all boxes stand on: built once, read-only from then on."""

from __future__ import annotations

from pathlib import Path

from runner.rehearsal.boxes.address import BoxKind


def build_tree(kind: BoxKind = "vm") -> Path:
    """Return the root file system that boxes stand on, built on first use."""
    raise NotImplementedError
