"""The numbers of a model's configuration, as transformers would read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

LARGEST = 2**31 - 1
"""More than any width, depth or vocabulary; what some models have for a longest sequence without end."""
SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "intermediate_size")
"""What ``config.json`` always has; in a nested configuration transformers leaves out what is as by default."""


class NumberError(ValueError):
    """A number is missing, or is none. The words go on after "the configuration of a llama model"."""


@dataclass(frozen=True)
class Numbers:
    """A configuration and what its family takes where it says nothing.

    Attributes:
        config: The configuration.
        defaults: The family's own values, by its own names.
        names: Its own names by what may stand there instead: other families' names, and those of older files.
        is_nested: Whether it is a part of another configuration, which leaves out what is as by default.
        whole: That other configuration.
    """

    config: Mapping[str, Any]
    defaults: Mapping[str, Any]
    names: Mapping[str, str]
    is_nested: bool = False
    whole: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, key: str) -> int:
        """Return a number.

        Raises:
            NumberError: If it is missing, ``null`` or no whole number.
        """
        found = self.given(key)
        if found is None:
            raise NumberError(f"lacks {key}")
        return found

    def given(self, key: str) -> int | None:
        """Return a number, or ``None`` where it is ``null`` or nobody gives one.

        Raises:
            NumberError: If it is no whole number that can be one.
        """
        found = self._value(key)
        if found is None:
            return None
        if not isinstance(found, int) or isinstance(found, bool) or not 0 < found <= LARGEST:
            raise NumberError(f"has {key}: {_word(found)}, which is no whole number from 1 to {LARGEST:,}")
        return found

    def on(self, key: str) -> bool:
        """Return whether something is switched on.

        Raises:
            NumberError: If it is neither on nor off.
        """
        found = self._value(key)
        if found is None or isinstance(found, bool):
            return bool(found)
        raise NumberError(f"has {key}: {_word(found)}, which is neither true nor false")

    def text(self, *keys: str) -> str | None:
        """Return the first of some keys that is a text, or ``None``."""
        return next((self.config[key] for key in keys if isinstance(self.config.get(key), str)), None)

    def _value(self, key: str) -> Any:
        own = self.names.get(key, key)
        for name in (*(name for name, theirs in self.names.items() if theirs == own), own):
            if name in self.config:
                return self.config[name]
        return None if key in SIZES and not self.is_nested else self.defaults.get(own)

    @cached_property
    def hidden(self) -> int:
        """Width of the residual stream."""
        return self["hidden_size"]

    @cached_property
    def layers(self) -> int:
        """Blocks."""
        return self["num_hidden_layers"]

    @cached_property
    def vocabulary(self) -> int:
        """Rows of the embedding."""
        return self["vocab_size"]

    @cached_property
    def inner(self) -> int:
        """Width between the two ends of a block's MLP."""
        return self["intermediate_size"]

    @cached_property
    def heads(self) -> int:
        """Heads of queries."""
        return self["num_attention_heads"]

    @cached_property
    def key_heads(self) -> int:
        """Heads of keys and values."""
        return self.given("num_key_value_heads") or self.heads

    @cached_property
    def head(self) -> int:
        """Width of a head."""
        return self.given("head_dim") or self.shared_head

    @cached_property
    def shared_head(self) -> int:
        """Width of a head where all heads share the stream.

        Raises:
            NumberError: If they cannot.
        """
        if self.hidden % self.heads:
            raise NumberError(f"has hidden_size: {self.hidden}, which its {self.heads} heads cannot share")
        return self.hidden // self.heads

    @property
    def queries(self) -> int:
        """Width of queries."""
        return self.heads * self.head

    @property
    def keys(self) -> int:
        """Width of keys."""
        return self.key_heads * self.head


def _word(value: Any) -> str:
    return json.dumps(value, default=str)[:40]
