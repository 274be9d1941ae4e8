"""What to do with a row in no known format: the shapes that files often have, and the way from each to samples."""

from __future__ import annotations

import json
import shlex

from trainer.data.sources.columns import columns_hint
from trainer.data.sources.row import FORMAT_HELP, Row, as_yaml


def layout_hint(row: Row) -> str:
    """Return what to do with a row whose keys are those of no known format."""
    lists = {key: value[0] for key, value in row.values.items() if isinstance(value, list) and value}
    objects = {key: first for key, first in lists.items() if isinstance(first, dict)}
    turns = next((key for key, first in objects.items() if first.keys() & {"role", "from"}), None)
    if turns is not None:
        return f"set `data.columns: {{messages: {as_yaml(turns)}}}`"
    columns = columns_hint(row.values)
    if columns is not None:
        return columns
    if objects:
        key = next(iter(objects))
        return (
            f"if the samples are the list under {json.dumps(key)}, write it to a file of its own: "
            f"`jq {shlex.quote(f'.[{json.dumps(key)}]')} {shlex.quote(str(row.path))} > samples.json`"
        )
    if isinstance(row.values.get("text"), str):
        return f"a text alone does not say what the assistant is to learn: divide it into turns; {FORMAT_HELP}"
    return FORMAT_HELP
