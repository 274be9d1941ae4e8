"""What the product hears of an act of Terraform's: its result, or why there is none."""

from __future__ import annotations

from collections.abc import Callable

from runner.adapters.process import ToolCancelledError
from runner.errors import TerraformError


def said_of(act: Callable[[], object]) -> object:
    """Return the result of an act; where it failed, the class of the failure in words."""
    try:
        return act()
    except TerraformError as err:
        return err.message.split(":")[1].strip()
    except ToolCancelledError:
        return "stopped on request"
