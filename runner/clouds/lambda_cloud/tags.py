"""What Lambda takes for a tag."""

from __future__ import annotations

import re

TAG_KEY = re.compile(r"^[a-z][a-z0-9-:]+$")
LONGEST_KEY = 55
LONGEST_VALUE = 128


def is_tag_key(key: str) -> bool:
    """Return whether a tag may be called so."""
    return TAG_KEY.match(key) is not None and len(key) <= LONGEST_KEY
