"""Fetch a base model's weights from the Hugging Face Hub: one commit, only the files that are loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import sleep

from trainer.base_model.hub_files import OTHERWISE, WAITS_S, HubUnreachableError, cached_folder, converted, is_offline
from trainer.base_model.origin import INDEXES, SINGLES, shards_of, weight_files
from trainer.errors import BaseModelError

SMALL = ("*.json", "*.jinja", "*.model", "*.txt")
"""Configuration, template, and tokenizers in each of their forms."""
CODE = "*.py"
LONGEST_WAIT_S = 300.0
"""The Hub counts requests in windows of five minutes, so that it never has a reason to ask for more."""


def fetch_snapshot(repo_id: str, revision: str | None, *, with_code: bool, waits_s: Sequence[float] = WAITS_S) -> Path:
    """Return the folder of a Hub model in the Hub's cache, which is named for the commit; fetch what it lacks.

    Args:
        repo_id: The model, as ``org/name``.
        revision: Commit, tag or branch; ``None`` is the newest.
        with_code: Whether Python files of the model are fetched as well.
        waits_s: Seconds to wait before each further try where the Hub gives no answer.

    Raises:
        HubUnreachableError: If the Hub gives no answer and the cache lacks the model.
        BaseModelError: If the model cannot be had.
    """
    if (cached := _cached(repo_id, revision)) is not None and is_offline():
        return cached
    for wait_s in (*waits_s, None):
        try:
            with converted(repo_id, revision):
                return _fetch(repo_id, revision, with_code=with_code)
        except HubUnreachableError as err:
            if cached is not None:
                return cached
            if wait_s is None or is_offline():
                raise
            sleep(max(wait_s, min(err.retry_after_s, LONGEST_WAIT_S)))
    raise AssertionError("the last try returns or raises")


def _cached(repo_id: str, revision: str | None) -> Path | None:
    """Return the model's folder where all its weights are on this machine already; asks nobody."""
    folder = cached_folder(repo_id, revision)
    try:
        is_whole = folder is not None and all(path.is_file() for path in weight_files(folder))
    except BaseModelError:
        return None
    return folder if is_whole else None


def _fetch(repo_id: str, revision: str | None, *, with_code: bool) -> Path:
    from huggingface_hub import HfApi

    found = HfApi().model_info(repo_id, revision=revision)
    if found.sha is None:
        raise HubUnreachableError(repo_id, "the Hub names no commit of it", f"check HF_ENDPOINT, {OTHERWISE}")
    weights = _weights(repo_id, found.sha, {file.rfilename for file in found.siblings or ()})
    return _download(repo_id, found.sha, [*SMALL, *weights, *([CODE] if with_code else [])])


def _weights(repo_id: str, commit: str, names: set[str]) -> list[str]:
    """Return the files with the weights that are loaded; a repository may hold the same ones in other forms, too."""
    from huggingface_hub import hf_hub_download

    for index, single in zip(INDEXES, SINGLES, strict=True):
        if single in names:
            return [single]
        if index in names:
            return shards_of(Path(hf_hub_download(repo_id, index, revision=commit)))
    raise BaseModelError(
        f"base model: {repo_id} has no weights in transformers format on the Hub ({' or '.join(SINGLES)})",
        resolution="take a base model in transformers format, or a .gguf file of it",
    )


def _download(repo_id: str, commit: str, patterns: list[str]) -> Path:
    """Fetch files; once more over plain HTTP where the Hub's Xet storage fails, of which it says nothing narrower."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(snapshot_download(repo_id, revision=commit, allow_patterns=patterns))
    except HfHubHTTPError:
        raise
    except (RuntimeError, OSError):
        if constants.HF_HUB_DISABLE_XET:
            raise
    constants.HF_HUB_DISABLE_XET = True  # as the variable of that name does; it is read when the library is imported
    return Path(snapshot_download(repo_id, revision=commit, allow_patterns=patterns))
