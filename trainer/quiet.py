"""Keep the libraries quiet: no usage pings unless asked for, no progress bars in a log."""

from __future__ import annotations

import logging
import os
import warnings


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
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it looks for a kernel package that is never needed
    # PEFT asks for a property that transformers has renamed; both are pinned, and the answer is right.
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)


def silence_progress_bars() -> None:
    """Switch off the bars that the libraries draw while they load, map and save; imports them."""
    import datasets
    from transformers.utils import logging as transformers_logging

    datasets.disable_progress_bars()
    transformers_logging.disable_progress_bar()
