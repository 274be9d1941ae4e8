"""The code that turns files into tokens, as a digest: what other code has computed is not taken from the cache."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Return the digest of the modules that read, check and encode, and of the packages that they use."""
    found = hashlib.sha256()
    for path in sorted([*(PACKAGE / "data").rglob("*.py"), *(PACKAGE / "base_model").rglob("*.py")]):
        found.update(path.read_bytes())
    found.update(f"{version('tokenizers')} {version('jinja2')}".encode())
    return found.hexdigest()
