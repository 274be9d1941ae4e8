"""What has to be let go of once training is over, so that the next model has the memory."""

from __future__ import annotations


def release_optimizer_overrides() -> None:
    """Empty bitsandbytes' list of tensors with settings of their own.

    transformers puts every embedding on it for an 8-bit optimizer. The list lives as long as the process and holds the
    modules themselves: a gibibyte of an 8B model that acceptance would not have.
    """
    from bitsandbytes.optim import GlobalOptimManager

    GlobalOptimManager.get_instance().initialize()
