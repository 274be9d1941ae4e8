"""The keys of a sample and of its messages that Douse does not learn from: harmless ones, and those that are refused.

A key is never dropped in silence: what it means counts, or it is listed as not used, or it is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trainer.data.sources.row import NAMELESS, Row, as_yaml, is_row_number
from trainer.errors import DataError

HARMLESS = frozenset({
    "id", "idx", "index", "uid", "uuid", "key", "hash", "sample_id", "prompt_id", "message_id", "msg_id",
    "conversation_id", "conv_id", "dialog_id", "dialogue_id", "chat_id", "session_id", "thread_id", "user_id",
    "parent_id", "turn_id", "doc_id", "example_id", "question_id", "row", "row_id", "line", "file", "filename",
    "path", "source", "sources", "source_id", "data_source", "dataset", "dataset_name", "origin", "provenance",
    "url", "link", "license", "licence", "copyright", "author", "authors", "creator", "annotator", "contributor",
    "title", "subject", "topic", "topics", "category", "categories", "subcategory", "domain", "tag", "tags", "task",
    "tasks", "task_id", "task_type", "task_name", "skill", "skills", "type", "kind", "lang", "language",
    "languages", "locale", "subset", "split", "fold", "partition", "version", "model", "model_name", "generator",
    "engine", "date", "time", "timestamp", "created", "created_at", "create_time", "updated_at", "meta", "metadata",
    "info", "extra", "comment", "comments", "note", "notes", "description", "length", "num_turns", "num_tokens",
    "n_tokens", "token_count", "tokens", "difficulty", "level", "name", "tool_choice", "parallel_tool_calls",
    "cache_control", "citations",
})  # fmt: skip
"""Keys that say where a sample comes from, what it is about, or how an answer was asked for."""
LEARNED = {
    "weight": True, "loss_weight": True, "train": True, "trainable": True, "loss": True,
    "masked": False, "mask": False,
}  # fmt: skip
"""Keys that say whether a turn is learned, and what their 1 or true means."""
_PREFERENCES = frozenset({
    "chosen", "rejected", "score", "scores", "score_chosen", "score_rejected", "chosen_score", "rejected_score",
    "reward", "rewards", "rating", "ratings", "rank", "ranking", "margin", "preference", "preferred", "winner",
    "feedback", "kto_tag",
})  # fmt: skip
_MEDIA = frozenset({
    "image", "images", "image_path", "image_url", "video", "videos", "video_path", "audio", "audios", "audio_path",
    "pixel_values",
})  # fmt: skip
IMAGE_MARK = "<image>"
_TOOLS_BESIDE = "put the tools beside the turns, as `tools` of the sample"
_SYSTEMS = frozenset({"system_message", "system_text", "system_instruction", "system_content", "sys", "sys_prompt"})
_THOUGHTS = frozenset({
    "reasoning", "reasoning_content", "reasoning_trace", "thinking", "thought", "thoughts", "rationale", "cot",
    "chain_of_thought",
})  # fmt: skip
_NOTHING: tuple[Any, ...] = ("", [], {})
NO_MEDIA = "Douse trains on text alone: take samples with pictures, sound or video out"
_PARTS_OF_A_TURN = "set `weight: 0` on the turn to leave the whole turn out, or split it"


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys that are there: a null column counts as absent."""
    return {key: value for key, value in values.items() if value is not None}


def is_harmless(key: str) -> bool:
    """Return whether a key says nothing about what is learned."""
    return key.lower() in HARMLESS or key.startswith("_")


def refuse_other_kinds(row: Row, ignored: frozenset[str] = frozenset()) -> None:
    """Refuse a row that is made for another kind of training, by the key that says so.

    Args:
        row: The row.
        ignored: Keys that the user leaves out on purpose.

    Raises:
        DataError: If there is such a key.
    """
    for key, value in given(row.values).items():
        if key not in ignored and value not in _NOTHING:
            _check_preference(row, key, value)
            _check_media(row, key)


def unused_keys(row: Row, others: Mapping[str, Any], texts: Iterable[str], ignored: frozenset[str]) -> tuple[str, ...]:
    """Return the keys of a sample that are harmless to leave out, and refuse the others.

    Args:
        row: The row, for the message.
        others: What the sample holds besides what it is learned from.
        texts: The texts that are learned from: a key that only repeats them is harmless.
        ignored: Keys that the user leaves out on purpose.

    Raises:
        DataError: If a key is one that changes what should be learned, or means nothing that is known.
    """
    texts = list(texts)
    unused: list[str] = []
    unknown: list[str] = []
    for key, value in others.items():
        if value in _NOTHING or (key in LEARNED and value == int(LEARNED[key])):
            continue
        is_number = key.startswith(NAMELESS) and is_row_number(value)
        is_known = key in ignored or is_number or is_harmless(key) or _repeats(value, texts) or key == "label"
        (unused if is_known else unknown).append(key)
    if unknown:
        places = (_place_of(key) for key in unknown)
        resolution = next((place for place in places if place is not None), _ignored_by(*unknown))
        raise row.refused(f"has {_keys_that_are('not used', unknown)}", resolution)
    return tuple(unused)


def unused_message_keys(row: Row, position: int, others: Mapping[str, Any], ignored: frozenset[str]) -> tuple[str, ...]:
    """Return the keys of a message that are harmless to leave out, and refuse the others.

    Raises:
        DataError: If a key is one that changes what should be learned, or means nothing that is known.
    """
    unused = [key for key, value in others.items() if value not in _NOTHING]
    unknown = [key for key in unused if key not in ignored and not is_harmless(key)]
    for key in unknown:
        _check_media(row, key)
        if key == "train_detail":
            raise _partly(row, f"turn {position} has `train_detail`")
        if key in _PREFERENCES:
            raise _preference(row, f"turn {position} has `{key}`")
    if unknown:
        resolution = _TOOLS_BESIDE if {"tools", "functions"} & set(unknown) else _ignored_by(*unknown)
        raise row.refused(f"turn {position} has {_keys_that_are('not supported', unknown)}", resolution)
    return tuple(unused)


def unused_part_keys(row: Row, position: int, others: Mapping[str, Any], ignored: frozenset[str]) -> tuple[str, ...]:
    """Return the keys of a message's text parts that are harmless to leave out, and refuse the others.

    Raises:
        DataError: If a key is one that changes what should be learned, or means nothing that is known.
    """
    weight = next((key for key in others if key in LEARNED and key not in ignored), None)
    if weight is not None:
        raise _partly(row, f"turn {position} has a part with `{weight}`")
    return unused_message_keys(row, position, others, ignored)


def check_text(row: Row, position: int, role: str, text: str) -> None:
    """Refuse the mark of a picture in a question.

    Raises:
        DataError: If there is one.
    """
    if role == "user" and IMAGE_MARK in text:
        raise row.refused(f"turn {position} has the mark of a picture ({IMAGE_MARK})", NO_MEDIA)


def _keys_that_are(what: str, keys: Sequence[str]) -> str:
    """Return keys in words, all of them: who has to mend one after the other looks at the file once for each."""
    return f"{'a key that is' if len(keys) == 1 else 'keys that are'} {what}: {', '.join(keys)}"


def _place_of(key: str) -> str | None:
    """Return what to do with a key of a sample that has its place elsewhere, or ``None``."""
    name = key.lower().replace(" ", "_")
    if name in LEARNED:
        return f"set `{key}` on the turns of the assistant, or take out the samples that are not to be learned"
    if name in _THOUGHTS:
        return "write it into the answer as <think>…</think>, or into its turn as `reasoning_content`"
    if name == "history":
        return "write its turns in front of the others, or take it out"
    if name in _SYSTEMS:
        return f"set `data.columns: {{system: {as_yaml(key)}}}`"
    return None


def _ignored_by(*keys: str) -> str:
    it, listed = "it" if len(keys) == 1 else "them", ", ".join(map(as_yaml, keys))
    return f"set `data.ignore_keys: [{listed}]` if nothing is lost by leaving {it} out, or take {it} out of the data"


def _repeats(value: Any, texts: list[str]) -> bool:
    """Return whether a value says nothing that the turns do not say."""
    words = value.strip() if isinstance(value, str) else ""
    return bool(words) and (any(words in text for text in texts) or all(text.strip() in words for text in texts))


def _check_preference(row: Row, key: str, value: Any) -> None:
    if key == "label" and value not in (True, False, 0, 1):
        raise row.refused(f"has the label {value!r}, which is not used", _ignored_by(key))
    if key == "label" and not value:
        raise _preference(row, "has `label: false`, an answer that is not to be learned")
    if key in _PREFERENCES:
        raise _preference(row, f"has `{key}`")


def _partly(row: Row, what: str) -> DataError:
    return row.refused(f"{what}: parts of a turn cannot be left out of what is learned", _PARTS_OF_A_TURN)


def _preference(row: Row, what: str) -> DataError:
    return row.refused(
        f"{what}: preference data, which DPO or KTO learn from",
        "keep the good answers alone, as messages or as prompt and completion, without that key",
    )


def _check_media(row: Row, key: str) -> None:
    if key in _MEDIA:
        raise row.refused(f"has `{key}`, which is not supported", NO_MEDIA)
