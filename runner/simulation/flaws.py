"""What may be wrong with the machines of a life from their boot on, or with the user's, and what shows in files."""

from __future__ import annotations

from collections.abc import Mapping

FLAW = "flaw"
"""Kind of the act whose word names one."""
SLOW, FAILS, NO_START, NO_LAST_WORD = "slow", "trainer fails", "trainer does not start", "no last word"
STALLS = "trainer stalls"
ODD_EVENTS, ODD_FACTS, NO_FACTS = "odd events", "odd facts", "no facts"
SPOILED_ADAPTER, SPOILED_CHECKPOINTS = "spoiled adapter", "spoiled checkpoints"
LEASE_STAYS_DEAD, LEASE_IS_DEAF, LEASE_IS_ODD = "lease stays dead", "lease is deaf", "lease is odd"
GUARD_FAILS = "guard fails"
FLAWS: Mapping[str, str] = {
    SLOW: "Each step of training takes two and a half minutes.",
    FAILS: "The trainer fails after some steps, and says why.",
    STALLS: "Training stands still after some steps, for the second time.",
    NO_START: "The trainer does not start.",
    NO_LAST_WORD: "The trainer's supervisor is killed after some steps, and with it the trainer.",
    ODD_EVENTS: "Lines among the trainer's events are none.",
    ODD_FACTS: "The machine's facts cannot be read.",
    NO_FACTS: "The machine says no facts.",
    SPOILED_ADAPTER: "The machine's disk spoils the adapter.",
    SPOILED_CHECKPOINTS: "The machine's disk spoils the checkpoints.",
    LEASE_STAYS_DEAD: "The lease's program does not start again once it is killed.",
    LEASE_IS_DEAF: "The machine's disk takes no word for its lease.",
    LEASE_IS_ODD: "The lease's program answers with nonsense.",
    GUARD_FAILS: "Every other guard ends before it has begun.",
}
"""Each flaw in a sentence."""
_SPOILED = {SPOILED_ADAPTER: "adapter/", SPOILED_CHECKPOINTS: "checkpoints/"}
_WEIGHTS = "/adapter_model.safetensors"


def as_read(files: dict[str, bytes], flaws: frozenset[str]) -> dict[str, bytes]:
    """Return the files of an output folder as the machine's disk gives them back.

    Args:
        files: What the trainer has written, by the paths there.
        flaws: What is wrong with the machine.
    """
    folders = tuple(_SPOILED[flaw] for flaw in flaws & set(_SPOILED))
    if not folders:
        return files
    spoiled = {path for path in files if path.startswith(folders) and path.endswith(_WEIGHTS)}
    return {path: text[:-1] + b"?" if path in spoiled else text for path, text in files.items()}
