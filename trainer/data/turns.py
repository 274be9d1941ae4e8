"""Where the assistant speaks in a rendered chat, and whether the template left anything out.

The whole chat is rendered once more, with a stand-in for each text (``stand_ins``). Between the stand-ins stand the
frames: what the template itself writes. Frames and real texts put together again must be the real rendering to the
last character; then the place of every text is certain. A turn of the assistant reaches from the end of its header to
the end of its end token (``frames``), whatever the template writes between thought, words and calls.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from trainer.base_model.tokenization import BaseModelFacts
from trainer.data.frames import Frames, frames_of
from trainer.data.left_out import check_nothing_left_out, check_values
from trainer.data.message import TOOLS, Message
from trainer.data.rendering import Rendering, render_as
from trainer.data.stand_ins import STAND_IN, StandIns, stand_in
from trainer.errors import BaseModelError

ALONE_AT_MOST = 64
"""Answers that are looked for one at a time at most: each costs a rendering of the whole chat."""
LONGEST_FORM = 32
"""Turns of a chat whose rendering with stand-ins is kept: longer ones seldom have the same form, and take memory."""


@dataclass(frozen=True)
class Turn:
    """One turn of the assistant in a rendered chat.

    Attributes:
        index: Index of its message.
        start: First character that is the assistant's own.
        end: The character after its last.
        end_token: The token that ends it; ``None`` if the template ends it with none.
    """

    index: int
    start: int
    end: int
    end_token: str | None


@dataclass(frozen=True)
class Seen:
    """What the template made of stand-ins for all texts.

    Attributes:
        stand_ins: The chat of stand-ins.
        text: Its rendering.
        dropped_thoughts: Thoughts of earlier turns that the template leaves out.
    """

    stand_ins: StandIns
    text: str
    dropped_thoughts: int


class Place(NamedTuple):
    """Where a text stands in the rendering."""

    start: int
    end: int
    turn: int


def check_rendering(rendering: Rendering, facts: BaseModelFacts) -> Seen:
    """Check that the template leaves no text of a chat out.

    Raises:
        BaseModelError: If it does, other than an earlier thought.
    """
    stand_ins = stand_in(rendering.messages)
    render = _render_form if len(rendering.messages) <= LONGEST_FORM else _render
    text = render(stand_ins.messages, rendering.arguments_as_text, facts)
    dropped_thoughts = check_nothing_left_out(stand_ins, text, rendering.messages, facts)
    check_values(rendering)
    return Seen(stand_ins, text, dropped_thoughts)


def find_turns(rendering: Rendering, seen: Seen, facts: BaseModelFacts) -> list[Turn]:
    """Return the assistant's turns in a rendered chat, in order.

    Raises:
        BaseModelError: If the template changes texts so that they cannot be found.
    """
    places = _put_together(rendering.text, seen.text, seen.stand_ins)
    if places is None:
        places = _answers_alone(rendering, facts)
    return list(_turns(places, rendering, frames_of(facts)))


def _render(messages: Sequence[Message], arguments_as_text: bool, facts: BaseModelFacts) -> str:
    return render_as(messages, facts, arguments_as_text=arguments_as_text)


_render_form = lru_cache(maxsize=128)(_render)
"""Most chats of a data set have the form of another one: the same roles, in the same order. Then their stand-ins are
the same messages, which are rendered once."""


def _put_together(text: str, with_stand_ins: str, stand_ins: StandIns) -> list[Place] | None:
    """Return the place of every text, or ``None`` if frames and texts do not make up the rendering."""
    first, *pieces = STAND_IN.split(with_stand_ins)
    if not text.startswith(first):
        return None
    places: list[Place] = []
    seen: set[int] = set()
    position = len(first)
    for number, frame in zip(map(int, pieces[::2]), pieces[1::2], strict=True):
        slot = stand_ins.slots[number]
        form = _form_at(position, text, slot.text, frame)
        if form is None:
            return None
        # What a template writes again later, such as a tool's name in front of its answer, is not the turn's own.
        if number not in seen or stand_ins.messages[slot.turn].role != "assistant":
            places.append(Place(position, position + len(form), slot.turn))
        seen.add(number)
        position += len(form) + len(frame)
    return places if position == len(text) else None


def _form_at(position: int, text: str, words: str, frame: str) -> str | None:
    """Return words in the form in which they stand at a position, a frame behind them; ``None`` if they do not.

    That is as they are, or as templates write them into JSON, once or twice.
    """
    if text.startswith(words + frame, position):
        return words
    once = json.dumps(words, ensure_ascii=False)[1:-1]
    forms = once, json.dumps(words)[1:-1], json.dumps(once, ensure_ascii=False)[1:-1]
    return next((form for form in forms if text.startswith(form + frame, position)), None)


def _answers_alone(rendering: Rendering, facts: BaseModelFacts) -> list[Place]:
    """Find the answers by stand-ins for them alone: a template may look at the words of the other turns."""
    answers = {index for index, message in enumerate(rendering.messages) if message.role == "assistant"}
    some = stand_in(rendering.messages, answers)
    text = _render(some.messages, rendering.arguments_as_text, facts)
    places = _put_together(rendering.text, text, some) or _between_frames(rendering.text, text, some)
    if places is None:
        if len(answers) > ALONE_AT_MOST:
            raise _indistinct()
        places = [_one_answer(rendering, index, facts) for index in sorted(answers)]
    return sorted([*places, *_other_texts(rendering, places)])


def _between_frames(text: str, with_stand_ins: str, stand_ins: StandIns) -> list[Place] | None:
    """Return the places of texts that the template changes, if its frames can lie in one way only."""
    first, *pieces = STAND_IN.split(with_stand_ins)
    frames = pieces[1::2]
    if not frames or not text.startswith(first) or not text.endswith(frames[-1]) or not all(frames[:-1]):
        return None
    starts, ends = [len(first)], [len(text) - len(frames[-1])]
    for frame in frames[:-1]:
        found = text.find(frame, starts[-1])
        if found < 0:
            return None
        starts.append(found + len(frame))
    for frame in reversed(frames[:-1]):
        ends.insert(0, text.rfind(frame, 0, ends[0]))
    # From the left and from the right, each frame has to be found at the same place.
    certain = all(end + len(frame) == start for end, frame, start in zip(ends, frames, starts[1:], strict=False))
    if not certain or starts[-1] > ends[-1]:
        return None
    turns = [stand_ins.slots[int(number)].turn for number in pieces[::2]]
    return [Place(*place) for place in zip(starts, ends, turns, strict=True)]


def _one_answer(rendering: Rendering, index: int, facts: BaseModelFacts) -> Place:
    """Find one answer: what differs between the rendering and the one with a stand-in for this answer."""
    one = _render(stand_in(rendering.messages, {index}).messages, rendering.arguments_as_text, facts)
    pieces = STAND_IN.split(one)
    before, after = pieces[0], pieces[-1]
    text = rendering.text
    fits = len(before) + len(after) <= len(text) and text.startswith(before) and text.endswith(after)
    if len(pieces) == 1 or not fits:
        raise _indistinct()
    return Place(len(before), len(text) - len(after), index)


def _other_texts(rendering: Rendering, answers: Sequence[Place]) -> list[Place]:
    """Return where the other turns' texts stand, as far as each stands once, word for word, between two answers."""
    found: list[Place] = []
    position = 0
    ends = {place.turn: place.end for place in sorted(answers)}
    for index, message in enumerate(rendering.messages):
        if message.role == "assistant":
            position = max(position, ends.get(index, 0))
            continue
        words = message.content.strip()
        limit = next((place.start for place in sorted(answers) if place.start >= position), len(rendering.text))
        if words and rendering.text.count(words, position, limit) == 1:
            at = rendering.text.find(words, position, limit)
            found.append(Place(at, at + len(words), index))
            position = at + len(words)
    return found


def _turns(places: Sequence[Place], rendering: Rendering, frames: Frames) -> Iterator[Turn]:
    """Yield the assistant's turns, in order: from the end of the header to the end of the end token."""
    text, messages = rendering.text, rendering.messages
    seen: set[int] = set()
    end_before = 0
    for number, place in enumerate(places):
        if messages[place.turn].role != "assistant" or place.turn in seen:
            continue
        seen.add(place.turn)
        last = _last_of_turn(places, number)
        following = places[last + 1].start if last + 1 < len(places) else len(text)
        previous = places[number - 1] if number else Place(0, 0, -1)
        role_before = messages[previous.turn].role if number else ""
        between = messages[previous.turn + 1 : place.turn]
        header = frames.header_length(
            text[previous.end : place.start],
            role_before,
            has_words=any(message.content.strip() for message in between if message.role not in ("assistant", TOOLS)),
        )
        if header is None:
            raise _indistinct("the user's")
        start = previous.end + header
        own_end = places[last].end
        length, token = frames.ending(
            text[own_end:following], calls=bool(messages[place.turn].calls), is_last=following == len(text)
        )
        turn = Turn(place.turn, max(start, end_before), own_end + length, token)
        end_before = turn.end
        yield turn


def _last_of_turn(places: Sequence[Place], first: int) -> int:
    """Return the number of the last place of a turn, which ends where another turn's text begins."""
    last = first
    while last + 1 < len(places) and places[last + 1].turn == places[first].turn:
        last += 1
    return last


def _indistinct(whose: str = "the assistant's") -> BaseModelError:
    return BaseModelError(
        f"chat template: it changes {whose} words, so they cannot be distinguished from the rest",
        resolution="set data.chat_template_path to a template that writes the words as they are, or that has "
        "{% generation %} markers, or set `assistant_only_loss: false`",
    )
