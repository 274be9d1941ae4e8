"""SSH keys of a run's own: one to log in with, one for the machine to prove itself by."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from trainer.files import SECRET_MODE, write_atomically


def make_key(private: Path) -> None:
    """Make an ed25519 key pair, unless it is there: a run that is resumed keeps its own.

    Args:
        private: File of the private half, readable by the user alone; the public one gets ``.pub`` after its name.
    """
    private.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not private.with_name(f"{private.name}.pub").exists():
        _make_pair(private)


def public_key(private: Path) -> str:
    """Return the public half of a key, as ``type base64``."""
    return " ".join(private.with_name(f"{private.name}.pub").read_text(encoding="ascii").split()[:2])


def _make_pair(private: Path) -> None:
    """Write both halves; the public one last, so that a pair cut short is made again."""
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    write_atomically(private, secret, SECRET_MODE)
    shown = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    private.with_name(f"{private.name}.pub").write_bytes(shown + b"\n")
