"""Boxes: real machines on one machine, each with its own address, its own root file system and its own sshd."""

from runner.emulation.boxes.address import BoxAddress, BoxKind
from runner.emulation.boxes.loopback_yard import why_no_logins
from runner.emulation.boxes.support import supported
from runner.emulation.boxes.tree import build_tree
from runner.emulation.boxes.yard import Yard, clean

__all__ = ["BoxAddress", "BoxKind", "Yard", "build_tree", "clean", "supported", "why_no_logins"]
