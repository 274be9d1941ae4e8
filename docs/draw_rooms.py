"""Draw the rooms and who uses whom, from the imports: ``python -m docs.draw_rooms`` writes ``docs/rooms.svg`` again.

Each room is a box just above those that it imports. An arrow is left out where another way leads there, so
that what is shown can be followed by eye; what every room uses (errors, world) has no arrows at all.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from pathlib import Path

import grimp

PAGE = Path(__file__).with_name("rooms.svg")
BASE = ("runner.errors", "runner.world", "trainer.errors", "trainer.files", "trainer.config")
"""Used by nearly all; an arrow to one of them says nothing."""
ONLY_NAMES = {"runner.provider.__main__"}
"""Modules that do nothing but go on to another, for an old name's sake."""
LEFT_OUT = ("runner", "trainer", "runner.bootstrap", "runner.__main__", "trainer.__main__")
BOX_W, BOX_H, GAP_X, GAP_Y, EDGE = 204, 30, 14, 34, 16
HEAD = (
    '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path class="head" d="M0 0 8 4 0 8z"/></marker></defs>'
)
STYLE = """
svg { font: 13px system-ui, sans-serif; }
.room { fill: #eef3fb; stroke: #40618f; }
.cloud { fill: #fdf1e3; stroke: #a5662a; }
.trainer { fill: #ecf6ee; stroke: #3d7a4c; }
.way { stroke: #8a94a3; fill: none; }
.head { fill: #8a94a3; }
@media (prefers-color-scheme: dark) {
  text { fill: #e8e8e8; }
  .room { fill: #24344d; stroke: #86a8d8; }
  .cloud { fill: #4a3620; stroke: #d9a066; }
  .trainer { fill: #22402a; stroke: #83c494; }
}
"""


def main() -> None:
    """Write the picture."""
    PAGE.write_text(drawing(), encoding="utf-8")


def drawing() -> str:
    """Return the picture as SVG, the same for the same imports."""
    uses = reduced(rooms())
    floors = floors_of(uses)
    places: dict[str, tuple[float, float]] = {}
    width = max(len(row) for row in floors) * (BOX_W + GAP_X) - GAP_X + 2 * EDGE
    for number, row in enumerate(floors):
        left = (width - (len(row) * (BOX_W + GAP_X) - GAP_X)) / 2
        for place, room in enumerate(row):
            places[room] = (left + place * (BOX_W + GAP_X), EDGE + number * (BOX_H + GAP_Y))
    height = EDGE * 2 + len(floors) * (BOX_H + GAP_Y) - GAP_Y
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img">',
        "<title>Who uses whom: an arrow leads from a room to one that it imports</title>",
        f"<style>{STYLE}</style>",
        HEAD,
    ]
    for room, targets in sorted(uses.items()):
        lines += [_arrow(places[room], places[target]) for target in sorted(targets)]
    lines += [_box(room, place) for room, place in sorted(places.items())]
    return "\n".join([*lines, "</svg>", ""])


def rooms() -> dict[str, set[str]]:
    """Return the imports of each room, from the source alone."""
    graph = grimp.build_graph("runner", "trainer", cache_dir=None)
    found: dict[str, set[str]] = {}
    for module in sorted(graph.modules - ONLY_NAMES):
        here = room_of(module)
        found.setdefault(here, set())
        found[here] |= {room_of(target) for target in graph.find_modules_directly_imported_by(module)}
    known = {room for room in found if room not in (*LEFT_OUT, *BASE)}
    return {room: {target for target in found[room] if target in known and target != room} for room in known}


def room_of(module: str) -> str:
    """Return the room that a module is in: a folder, a cloud's folder or its emulator, or a module that lies loose."""
    parts = module.split(".")
    if parts[:2] == ["runner", "clouds"] and len(parts) > 3:
        return ".".join((*parts[:3], *(["emulator"] if "emulator" in parts else [])))
    if parts[:2] == ["runner", "report"] and len(parts) > 3:
        return ".".join(parts[:3])
    return ".".join(parts[:2])


def reduced(uses: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """Return the arrows without those that another way makes needless.

    Raises:
        ValueError: If the rooms use each other in a circle.
    """
    reach: dict[str, set[str]] = {}

    def all_of(room: str, way: tuple[str, ...] = ()) -> set[str]:
        if room in way:
            raise ValueError(f"a circle: {' -> '.join((*way[way.index(room) :], room))}")
        if room not in reach:
            reach[room] = set().union(*({one} | all_of(one, (*way, room)) for one in uses[room]))
        return reach[room]

    for room in uses:
        all_of(room)
    return {
        room: {one for one in targets if not any(one in all_of(other) for other in targets if other != one)}
        for room, targets in ((room, set(uses[room])) for room in uses)
    }


def floors_of(uses: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Return the rooms by floors, the highest first: each stands just above the highest of those that it uses."""
    depth: dict[str, int] = {}

    def depth_of(room: str) -> int:
        if room not in depth:
            users = [other for other, targets in uses.items() if room in targets]
            depth[room] = 1 + max((depth_of(user) for user in users), default=-1)
        return depth[room]

    for room in uses:
        depth_of(room)
    last = max(depth.values())
    for room in sorted(uses, key=lambda one: -depth[one]):  # what little uses stands as low as it can
        floors = [depth[target] for target in uses[room]]
        depth[room] = min(floors, default=last + 1) - 1
    return [sorted(room for room in uses if depth[room] == floor) for floor in range(last + 1)]


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    x1, y1, x2, y2 = start[0] + BOX_W / 2, start[1] + BOX_H, end[0] + BOX_W / 2, end[1] - 1
    bend = (y2 - y1) / 2
    way = f"M{x1:g} {y1:g}C{x1:g} {y1 + bend:g} {x2:g} {y2 - bend:g} {x2:g} {y2:g}"
    return f'<path class="way" marker-end="url(#head)" d="{way}"/>'


def _box(room: str, place: tuple[float, float]) -> str:
    kind = "trainer" if room.startswith("trainer.") else "cloud" if room.startswith("runner.clouds.") else "room"
    name = room.removeprefix("runner.").replace("trainer.", "trainer/").replace(".", "/")
    x, y = place
    return (
        f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{BOX_W}" height="{BOX_H}" rx="5"/>'
        f'<text x="{x + BOX_W / 2:g}" y="{y + 20:g}" text-anchor="middle">{html.escape(name)}</text>'
    )


if __name__ == "__main__":
    main()
