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

    def header_length(self, frame: str, role_before: str, *, has_words: bool) -> int | None:
        """Return how many characters of a frame the assistant does not write itself.

        That is up to the end of the generation prompt, or of as much of it as stands there: some open a thought that
        is not in every turn. A template without a generation prompt has its header in what follows the question.

        Args:
            frame: What stands between the text before the turn and the turn's first text.
            role_before: Role of the turn that the text before is from.
            has_words: Whether the frame holds words of another turn, which were not found there.

        Returns:
            The number; ``None`` if it is not known where those words end.
        """
        for count in range(len(self.prompt), 0, -1):
            header = "".join(self.prompt[:count])
            at = frame.rfind(header)
            if at >= 0 and header.strip():
                return at + len(header)
        if has_words:
            return None
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
    pieces = re.compile("|".join((*map(re.escape, sorted(special, key=len, reverse=True)), _PIECE.pattern))).findall
    opened, closed = (pieces(_tail(TWO_ANSWERS[:3], facts, opens=opens)) for opens in (True, False))
    answer, last_answer = (pieces(_frame_after(number, TWO_ANSWERS, facts)) for number in (1, 3))
    call, last_call = (pieces(_frame_after(3, chat, facts)) for chat in (ONE_CALL, ONE_CALL[:3]))
    return Frames(
        prompt=tuple(opened[_shared_count(opened, closed) :]),
        after_user=tuple(opened),
        after_tool=tuple(pieces(_tail(ONE_CALL, facts, opens=True))),
        end_tokens=_end_tokens(answer, last_answer, special) if answer else special,
        call_end_tokens=_end_tokens(call, last_call, special) if call else (),
        special_tokens=special,
    )


def _tail(messages: Sequence[Message], facts: BaseModelFacts, *, opens: bool) -> str:
    """Return what stands after the last text of a chat; nothing if the template refuses the chat."""
    try:
        return STAND_IN.split(render_chat(stand_in(messages).messages, facts, add_generation_prompt=opens).text)[-1]
    except BaseModelError:
        return ""


def _frame_after(number: int, chat: Sequence[Message], facts: BaseModelFacts) -> str:
    """Return what stands between a text and the next one; nothing if the template refuses the chat or leaves it out."""
    try:
        _, *pieces = STAND_IN.split(render_chat(stand_in(chat).messages, facts).text)
    except BaseModelError:
        return ""
    return dict(zip(pieces[::2], pieces[1::2], strict=True)).get(str(number), "")


def _end_tokens(followed: Sequence[str], last: Sequence[str], special: Sequence[str]) -> tuple[str, ...]:
    """Return the tokens that end a turn.

    What stands after a turn that is followed by another, and after one that is the last, is the same up to the end of
    the turn: its last special token. Where they share none, each ends with the first that it has, if that follows at
    once (GLM's turns end with the header of the next).

    Args:
        followed: What stands after a turn with another one behind it, in pieces.
        last: What stands after a last turn.
        special: All special tokens.
    """
    shared = _shared_count(followed, last)
    common = [piece for piece in followed[:shared] if piece in special]
    if common:
        return (common[-1],)
    if shared and not "".join(followed[:shared]).strip():
        return ()  # what comes on a line of its own is the header of the next turn
    each = (next((piece for piece in frame[shared:] if piece in special), None) for frame in (followed, last))
    return tuple(dict.fromkeys(token for token in each if token is not None))


def _shared_count(one: Sequence[str], other: Sequence[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _shared_length(frame: str, pieces: Sequence[str]) -> int:
    """Return the length of the pieces that a frame begins with."""
    position = 0
    for piece in pieces:
        if not frame.startswith(piece, position):
            break
        position += len(piece)
    return position


def _without_blanks(pieces: Sequence[str]) -> Sequence[str]:
    blanks = sum(1 for _ in takewhile(str.isspace, pieces))
    return pieces[blanks:]
