"""Which variables of the user's environment reach what trains: those that it needs, and no secret but the Hub's."""

from __future__ import annotations

from collections.abc import Collection, Mapping

NAMES = frozenset(
    {
        "CC", "CURL_CA_BUNDLE", "CXX", "DO_NOT_TRACK", "DYLD_LIBRARY_PATH", "HF_HUB_DISABLE_IMPLICIT_TOKEN", "HOME",
        "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "LD_PRELOAD", "LOGNAME", "PATH", "PYTHONHASHSEED", "PYTHONNOUSERSITE",
        "PYTHONPATH", "PYTHONSAFEPATH", "REQUESTS_CA_BUNDLE", "SHELL", "TEMP", "TERM", "TMP", "TMPDIR", "TZ", "USER",
    }
)  # fmt: skip
"""The user's account, temporary folders, libraries and compilers, and what is said of Python before it starts."""
FAMILIES = (
    "LC_", "SSL_CERT_", "XDG_",
    "DOUSE_",
    "BITSANDBYTES_", "BNB_", "HF_", "HUGGINGFACE_", "PYTORCH_", "SAFETENSORS_", "TOKENIZERS_", "TORCH",
    "TRANSFORMERS_", "TRITON_",
    "CUBLAS", "CUDA_", "CUDNN_", "NCCL_", "NVIDIA_",
    "GOMP_", "KMP_", "MALLOC_", "MKL_", "OMP_", "OPENBLAS_",
)  # fmt: skip
"""How the names begin of what the libraries read: the Hub's and torch's, the GPU's, those that compute."""
PROXIES = frozenset({"ALL_PROXY", "FTP_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"})
"""In capitals; programs read them in small letters as well."""
HUB_TOKENS = frozenset({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"})
SECRET_ENDINGS = ("_KEY", "_PASSWORD", "_SECRET", "_TOKEN")
"""How the names of secrets end; a family of libraries has them, too (``NVIDIA_API_KEY``)."""
SECRETS = frozenset({"DOUSE_NOTICE_URLS"})
"""Secrets whose names do not say so: whoever has the address of a webhook may post there."""


def for_training(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of an environment that what trains is given; the Hub's token is the one secret."""
    return allowed(environ, names=HUB_TOKENS)


def allowed(
    environ: Mapping[str, str], *, names: Collection[str] = (), families: tuple[str, ...] = ()
) -> dict[str, str]:
    """Return the variables of an environment that are on the list, none of another name.

    Args:
        environ: The environment variables.
        names: Further names on the list.
        families: Further beginnings of names on it; one that ends as a secret's does is left out.
    """
    return {name: value for name, value in environ.items() if _is_allowed(name, names, families)}


def _is_allowed(name: str, names: Collection[str], families: tuple[str, ...]) -> bool:
    if name in NAMES or name in names or name.upper() in PROXIES:
        return True
    is_secret = name in SECRETS or name.endswith(SECRET_ENDINGS)
    return name.startswith((*FAMILIES, *families)) and not is_secret
