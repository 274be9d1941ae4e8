"""Boxes: real machines on one machine, each with its own address, its own root file system and its own sshd."""

from runner.rehearsal.boxes.address import BoxAddress, BoxKind
from runner.rehearsal.boxes.loopback_yard import why_no_logins
from runner.rehearsal.boxes.support import supported
from runner.rehearsal.boxes.tree import build_tree
from runner.rehearsal.boxes.yard import Yard, clean

__all__ = ["BoxAddress", "BoxKind", "Yard", "build_tree", "clean", "supported", "why_no_logins"]
