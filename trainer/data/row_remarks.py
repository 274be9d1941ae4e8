"""What is to be said of rows that can be used: odd characters, keys that repeat, columns that others replace."""

from __future__ import annotations

from trainer.data.checked import CONTROL, REPEATED, REPLACED, UNREADABLE
from trainer.data.collected import Collected

WORDS = {
    CONTROL: "hold NUL or other control characters, which are learned as they stand",
    UNREADABLE: "hold U+FFFD (\ufffd), which stands for characters that were lost before",
    REPEATED: "have a key twice, of which the last one counts",
    REPLACED: "have a column that data.columns replaces by another one",
}


def row_remarks(collected: Collected, split: str) -> tuple[str, ...]:
    """Return a warning for each kind of oddness in a split's files."""
    sentences = []
    for name, remark in collected.remarks.items():
        places = ", ".join(collected.place(owner, number) for owner, number in remark.places)
        more = f" and {remark.count - len(remark.places)} more" if remark.count > len(remark.places) else ""
        sentences.append(f"{remark.count} {split} samples {WORDS[name]}: line {places}{more}")
    return tuple(sentences)
