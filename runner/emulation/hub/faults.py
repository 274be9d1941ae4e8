"""What may go wrong at the emulated Hub: too many requests, an outage, a download that is cut off."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["too_many", "down", "cut"]


@dataclass(frozen=True)
class HubFault:
    """One thing that goes wrong.

    Attributes:
        kind: ``too_many`` answers 429, ``down`` 503, ``cut`` breaks a download off.
        times: How often.
        path: What has to stand in the request's path.
        after_bytes: Bytes of the body that a cut download lets through; a shorter one is left whole.
        retry_after_s: What a 429 asks for, in seconds.
    """

    kind: Kind
    times: int = 1
    path: str = ""
    after_bytes: int = 0
    retry_after_s: int = 1


class Faults:
    """Faults that are due; each goes as it fires."""

    def __init__(self, faults: Sequence[HubFault] = ()) -> None:
        """Take the first ones."""
        self._lock = threading.Lock()
        self._due = [fault for fault in faults for _ in range(fault.times)]

    def add(self, fault: HubFault) -> None:
        """Let another thing go wrong."""
        with self._lock:
            self._due += [fault] * fault.times

    def take(self, kind: Kind, path: str, size_bytes: int = 0) -> HubFault | None:
        """Return the fault that hits a request, and count it.

        Args:
            kind: What may happen now.
            path: The request's path.
            size_bytes: Bytes that would be sent.
        """
        with self._lock:
            for at, fault in enumerate(self._due):
                is_long_enough = kind != "cut" or size_bytes > fault.after_bytes
                if fault.kind == kind and fault.path in path and is_long_enough:
                    return self._due.pop(at)
        return None
