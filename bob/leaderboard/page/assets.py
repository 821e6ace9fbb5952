"""The page's own files: scripts and styles joined into one each.

The scripts are ES modules, so that editors, linters and Node read them as they are. A page opened from the disk may not load modules, so each
becomes a function's result, in the order of SCRIPTS: `import { a } from "./b.js"` turns into `const { a } = b_`, exports into what it returns.
"""

import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files

SCRIPTS = (
    "format",
    "dom",
    "data",
    "statistics",
    "state",
    "selection",
    "tooltip",
    "axes",
    "cards",
    "controls",
    "advice",
    "leads",
    "overview",
    "rows",
    "table",
    "scatter",
    "heatmap",
    "correlation",
    "curves",
    "shifts",
    "datasets",
    "download",
    "paper",
    "main",
)
"""Each imports from earlier ones only."""

STYLES = ("base", "controls", "table", "charts", "cards", "media")

IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./(\w+)\.js";$', re.MULTILINE)
EXPORT = re.compile(r"^export (const|function|async function) ([\w$]+)", re.MULTILINE)


@cache
def script() -> str:
    """All scripts as one function that is called at once."""
    modules = "\n".join(module(name, asset(f"scripts/{name}.js")) for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n{modules}\n}})();\n'


def module(name: str, text: str) -> str:
    """One module's text as a constant of the same name with a trailing underscore, which holds what it exports."""
    exported = ", ".join(found.group(2) for found in EXPORT.finditer(text))
    body = EXPORT.sub(r"\1 \2", IMPORT.sub(r"const \1 = \2_;", text))
    return f"const {name}_ = (() => {{\n{body}return {{ {exported} }};\n}})();"


@cache
def style() -> str:
    return "\n".join(asset(f"styles/{name}.css") for name in STYLES)


def csp_hash(text: str) -> str:
    """How a content security policy names the one script that may run."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode('ascii')}"


def asset(name: str) -> str:
    return files("bob.leaderboard.page").joinpath(name).read_text(encoding="utf-8")
