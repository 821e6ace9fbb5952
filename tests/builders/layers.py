"""The layers of `bob/`: which folder may import which, for the test and for the picture in docs."""

import ast
import html
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "bob"
LAYERS = [
    ["errors"],
    ["io", "numerics", "specs"],
    ["features", "records", "outcomes", "statistics"],
    ["datasets", "backbones", "metrics"],
    ["extraction"],
    ["protocols"],
    ["registry", "leaderboards", "pictures"],
    ["plan", "catalogue"],
    ["engine"],
    ["precomputed", "heads"],
    ["commands", "api"],
    ["cli"],
]
"""Lowest first. A module imports from its own folder and from lower layers."""
LAYER_OF = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
WIDTH, HEIGHT, GAP = 760, 40, 8


def room_of(path: Path) -> str:
    """Return the folder (or file) at the root of `bob/` that a module belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Return the rooms that a module imports, in whichever form."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "bob":
            names |= {f"bob.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name.split(".")[1] for name in names if name.startswith("bob.")}


def purpose(room: str) -> str:
    """Return the first sentence of a room's docstring."""
    path = PACKAGE / room / "__init__.py"
    text = (path if path.exists() else PACKAGE / f"{room}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").split("\n\n")[0].replace("\n", " ")


def picture() -> str:
    """Return the layers as an SVG, the highest on top; arrows would point down from every box."""
    rows = []
    for level, rooms in enumerate(reversed(LAYERS)):
        width = (WIDTH - GAP * (len(rooms) + 1)) / len(rooms)
        for i, room in enumerate(rooms):
            x, y = GAP + i * (width + GAP), GAP + level * (HEIGHT + GAP)
            rows.append(
                f"<g><title>{html.escape(purpose(room))}</title>"
                f'<rect x="{x:.0f}" y="{y}" width="{width:.0f}" height="{HEIGHT}" rx="6" '
                'fill="#eef2f7" stroke="#5b6b7f"/>'
                f'<text x="{x + width / 2:.0f}" y="{y + 26}" text-anchor="middle" '
                f'font-family="sans-serif" font-size="16" fill="#1d2733">{room}</text></g>'
            )
    height = GAP + len(LAYERS) * (HEIGHT + GAP)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}">'
    return "\n".join([head, *rows, "</svg>", ""])


if __name__ == "__main__":
    (ROOT / "docs" / "architecture.svg").write_text(picture(), encoding="utf-8")
