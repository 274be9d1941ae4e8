"""What a chat template writes around the assistant's words: its header before them, its end token after them.

Both are read off small chats of stand-ins, once for each base model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile

from trainer.base_model.tokenization import BaseModelFacts
from trainer.data.message import Message
from trainer.data.probes import ONE_CALL, TWO_ANSWERS
from trainer.data.rendering import render_chat
from trainer.data.stand_ins import STAND_IN, stand_in
from trainer.errors import BaseModelError

_PIECE = re.compile(r"<[^<>\s]*>|\[[^\[\]\s]*\]|\s|[^<\[\s]+|[<\[]")


@dataclass(frozen=True)
class Frames:
    """What surrounds the assistant's words.

    Attributes:
        prompt: What a generation prompt adds to a chat, in pieces that are not torn apart.
        after_user: What stands between a question and the answer that is to come, in pieces.
        after_tool: The same after the answer of a tool; empty if the template has no tools.
        end_tokens: Special tokens that end a turn of words alone.
        call_end_tokens: Special tokens that end a turn with a call; none if the template has no tools.
        special_tokens: All special tokens, the base's end token first.
    """

    prompt: tuple[str, ...]
    after_user: tuple[str, ...]
    after_tool: tuple[str, ...]
    end_tokens: tuple[str, ...]
    call_end_tokens: tuple[str, ...]
    special_tokens: tuple[str, ...]

    def header_length(self, frame: str, role_before: str) -> int:
        """Return how many characters of a frame the assistant does not write itself.

        That is up to the end of the generation prompt, or of as much of it as stands there: some open a thought that
        is not in every turn. A template without a generation prompt has its header in what follows the question.

        Args:
            frame: What stands between the text before the turn and the turn's first text.
            role_before: Role of the turn that the text before is from.
        """
        for count in range(len(self.prompt), 0, -1):
            header = "".join(self.prompt[:count])
            at = frame.rfind(header)
            if at >= 0 and header.strip():
                return at + len(header)
        expected = self.after_tool if role_before == "tool" else self.after_user
        blank = len(frame) - len(frame.lstrip())
        return max(_shared_length(frame, expected), blank + _shared_length(frame[blank:], _without_blanks(expected)))

    def ending(self, frame: str, *, calls: bool, is_last: bool) -> tuple[int, str | None]:
        """Return how much of the frame after a turn's last text the assistant writes, and the token that ends it.

        Args:
            frame: What stands between the turn's last text and the text after the turn.
            calls: Whether the turn ends with a call.
            is_last: Whether nothing follows.
        """
        for tokens in (self.call_end_tokens, self.end_tokens, self.special_tokens) if calls else (self.end_tokens,):
            found = [(at, token) for token in tokens if (at := frame.find(token)) >= 0]
            if found:
                at, token = min(found)
                return at + len(token), token
        return len((frame if is_last else frame.partition("\n")[0]).rstrip()), None


@lru_cache(maxsize=8)
def frames_of(facts: BaseModelFacts) -> Frames:
    """Return what the base's template writes around the assistant's words."""
    special = (facts.eos_token, *(token for token in facts.special_tokens if token != facts.eos_token))
    opened, closed = (_tail(TWO_ANSWERS[:3], facts, opens=opens) for opens in (True, False))
    of_words = _end_tokens(TWO_ANSWERS, facts, special, early=1, late=3)
    of_call = _end_tokens(ONE_CALL, facts, special, early=3, late=3)
    return Frames(
        prompt=opened[_shared_count(opened, closed) :],
        after_user=opened,
        after_tool=_tail(ONE_CALL, facts, opens=True),
        end_tokens=special if of_words is None else of_words,
        call_end_tokens=of_call or (),
        special_tokens=special,
    )


def _tail(messages: Sequence[Message], facts: BaseModelFacts, *, opens: bool) -> tuple[str, ...]:
    """Return the pieces that stand after the last text of a chat; none if the template refuses the chat."""
    try:
        text = render_chat(stand_in(messages).messages, facts, add_generation_prompt=opens).text
    except BaseModelError:
        return ()
    return tuple(_PIECE.findall(STAND_IN.split(text)[-1]))


def _end_tokens(
    chat: Sequence[Message], facts: BaseModelFacts, special: Sequence[str], *, early: int, late: int
) -> tuple[str, ...] | None:
    """Return the tokens that end a turn which is followed by another, and one that is the last.

    ``None`` if the template cannot be asked, as it refuses the chat.

    What is the same in both is the end of a turn: its last special token. Where they share none, each ends with the
    first that it has, if that follows at once (GLM's turns end with the header of the next).

    Args:
        chat: Ends with the answer of the turn that follows, or of the one that is the last.
        facts: The base model's template.
        special: All special tokens.
        early: Number of the last text of the turn that is followed by another.
        late: Number of the text that the rendering ends with; the same as ``early`` if the chat is cut there.
    """
    followed = _frame_after(early, chat, facts)
    last = _frame_after(late, chat[:3] if late == early else chat, facts)
    if not followed:
        return None
    shared = _shared_count(followed, last)
    common = [piece for piece in followed[:shared] if piece in special]
    if common:
        return (common[-1],)
    if shared and not "".join(followed[:shared]).strip():
        return ()  # what comes on a line of its own is the header of the next turn
    each = (next((piece for piece in frame[shared:] if piece in special), None) for frame in (followed, last))
    return tuple(dict.fromkeys(token for token in each if token is not None))


def _frame_after(number: int, chat: Sequence[Message], facts: BaseModelFacts) -> tuple[str, ...]:
    """Return the pieces between a text and the next one; none if the template refuses the chat or leaves it out."""
    try:
        pieces = STAND_IN.split(render_chat(stand_in(chat).messages, facts).text)
    except BaseModelError:
        return ()
    at = pieces.index(str(number)) if str(number) in pieces[1::2] else None
    return () if at is None else tuple(_PIECE.findall(pieces[at + 1]))


def _shared_count(one: Sequence[str], other: Sequence[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _shared_length(frame: str, pieces: Sequence[str]) -> int:
    found = _PIECE.findall(frame)
    return len("".join(found[: _shared_count(found, pieces)]))


def _without_blanks(pieces: Sequence[str]) -> Sequence[str]:
    blanks = sum(1 for _ in takewhile(str.isspace, pieces))
    return pieces[blanks:]
