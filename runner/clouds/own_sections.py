"""The whole run file: that of ``runner.run``, with a section for each cloud that has keys of its own.

The run file lies below the clouds, so it cannot know their keys; whoever reads one hands it this class.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import Field, create_model

from runner.cloud_api.environment import NotThere
from runner.clouds.registry import CLOUDS
from runner.run.run_file import ComputeSection, RunFile


@cache
def run_file_class() -> type[RunFile]:
    """Return the class of a run file in which ``compute.<cloud>`` is what the cloud's record says."""
    own: dict[str, Any] = {
        name: (
            record.own_section() | None,
            Field(default=None, description=f"What only {record.title} has; ``null`` is its default throughout."),
        )
        for name, record in CLOUDS.items()
        if not isinstance(record.own_section, NotThere)
    }
    compute = create_model("ComputeSection", __base__=ComputeSection, __doc__=ComputeSection.__doc__, **own)
    return create_model("RunFile", __base__=RunFile, __doc__=RunFile.__doc__, compute=(compute, compute()))
