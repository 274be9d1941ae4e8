"""What of a shell reaches the trainer, and what never does."""

from __future__ import annotations

import pytest

from trainer.surroundings import allowed, for_training

KEPT = (
    "PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "HTTPS_PROXY", "https_proxy", "no_proxy", "HF_HOME", "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_DISABLE_IMPLICIT_TOKEN", "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "GOMP_SPINCOUNT", "TORCH_HOME", "TORCHINDUCTOR_CACHE_DIR",
    "PYTORCH_CUDA_ALLOC_CONF", "SSL_CERT_FILE", "XDG_CACHE_HOME", "DOUSE_CACHE", "LD_LIBRARY_PATH", "PYTHONSAFEPATH",
)  # fmt: skip
NEVER = (
    "LAMBDA_API_KEY", "RUNPOD_API_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "NVIDIA_API_KEY", "GITHUB_TOKEN", "SSH_AUTH_SOCK", "TF_VAR_secret",
    "WANDB_API_KEY", "PYTHONSTARTUP", "PYTHONHOME", "ACCELERATE_USE_FSDP", "LOCAL_RANK", "WORLD_SIZE",
    "DOUSE_NOTICE_URLS",
)  # fmt: skip


@pytest.mark.parametrize("name", KEPT)
def test_what_training_needs_is_kept(name: str) -> None:
    assert for_training({name: "x"}) == {name: "x"}


@pytest.mark.parametrize("name", NEVER)
def test_what_training_does_not_need_is_not(name: str) -> None:
    assert for_training({name: "x"}) == {}


def test_further_names_and_families_can_be_allowed_but_no_secret_of_a_family() -> None:
    environ = {"PIP_INDEX_URL": "i", "PIP_API_KEY": "k", "SSH_AUTH_SOCK": "s", "OTHER": "o", "HF_TOKEN": "t"}

    found = allowed(environ, names={"SSH_AUTH_SOCK"}, families=("PIP_",))

    assert found == {"PIP_INDEX_URL": "i", "SSH_AUTH_SOCK": "s"}
