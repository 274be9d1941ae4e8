"""Keep the libraries quiet: no usage pings unless asked for, no progress bars in a log."""

from __future__ import annotations

import os


def silence_libraries(*, telemetry: bool) -> None:
    """Switch off the libraries' usage pings and progress noise, before they are imported.

    Args:
        telemetry: ``True`` leaves the pings as the user's own environment has them.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # a forked data loader would warn on every start
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if not telemetry:
        os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
        os.environ["DO_NOT_TRACK"] = "1"
