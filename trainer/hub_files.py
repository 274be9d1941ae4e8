"""Fetch the small files of a base model from the Hugging Face Hub: tokenizer, template, configuration."""

from __future__ import annotations

from pathlib import Path

from trainer.errors import BaseModelError

REQUIRED = ("config.json", "tokenizer.json")
OPTIONAL = ("tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json")


def fetch_tokenizer_files(repo_id: str, revision: str | None) -> dict[str, Path]:
    """Return the small files of a Hub model by name, from the Hub's own cache where they are there already.

    Raises:
        BaseModelError: If the model or revision does not exist or is gated, or the Hub cannot be reached.
    """
    try:
        from huggingface_hub import constants, hf_hub_download
    except ImportError as err:
        raise BaseModelError(
            f"base model: {repo_id} is on the Hub, and the package huggingface_hub is not installed",
            resolution="install huggingface_hub, or set model.base_model to a local folder",
        ) from err
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    files: dict[str, Path] = {}
    for name in (*REQUIRED, *OPTIONAL):
        try:
            files[name] = Path(hf_hub_download(repo_id, name, revision=revision))
        except LocalEntryNotFoundError as err:
            if name in REQUIRED or not constants.HF_HUB_OFFLINE:
                raise _as_base_model_error(err, repo_id, revision) from err
        except EntryNotFoundError as err:
            if name in REQUIRED:
                raise BaseModelError(
                    f"base model: {repo_id} has no {name} on the Hub",
                    resolution="take a base model in transformers format, or a .gguf file of it",
                ) from err
        except (HfHubHTTPError, HFValidationError, OSError) as err:
            raise _as_base_model_error(err, repo_id, revision) from err
    return files


def _as_base_model_error(err: Exception, repo_id: str, revision: str | None) -> BaseModelError:
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(err, GatedRepoError):
        problem, resolution = "is gated", "accept its terms on its Hub page, then log in with `hf auth login`"
    elif isinstance(err, RevisionNotFoundError):
        problem, resolution = f"has no revision {revision}", "correct model.revision, or leave it out"
    elif isinstance(err, RepositoryNotFoundError):
        problem, resolution = "is not on the Hub, or is private", "correct model.base_model, or log in to the Hub"
    elif isinstance(err, HFValidationError):
        problem, resolution = "is neither a Hub id (org/name) nor a local folder", "correct model.base_model"
    else:
        problem, resolution = (
            "cannot be fetched: the Hub is not reachable",
            "check the network (and HF_HUB_OFFLINE), or set model.base_model to a local folder or .gguf file",
        )
    return BaseModelError(f"base model: {repo_id} {problem}", details=str(err), resolution=resolution)
