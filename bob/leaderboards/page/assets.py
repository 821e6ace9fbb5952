"""The page's static files: scripts and styles, each joined into one text.

The scripts are ES modules, so that editors, linters and Node can read them unchanged. A page opened
from the disk may not load modules, so each module becomes the result of a function, in the order
of SCRIPTS: `import { a } from "./b.js"` turns into `const { a } = b_`, and what a module exports
into what its function returns. Lines of comments stay here.
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
    "beside",
    "statistics",
    "power_law",
    "state",
    "verdicts",
    "selection",
    "tooltip",
    "matrix",
    "axes",
    "names",
    "groups",
    "cards",
    "points",
    "controls",
    "advice",
    "best",
    "overview",
    "compare",
    "rows",
    "table",
    "scatter",
    "scaling",
    "heatmap",
    "correlation",
    "pairs",
    "curves",
    "shifts",
    "race",
    "datasets",
    "download",
    "print",
    "main",
)
"""Modules in dependency order: each imports only from earlier ones."""

STYLES = ("base", "controls", "table", "charts", "cards", "media")

IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./(\w+)\.js";$', re.MULTILINE)
COMMENT = re.compile(r"^ *//.*\n", re.MULTILINE)
EXPORT = re.compile(r"^export (const|function|async function) ([\w$]+)", re.MULTILINE)


@cache
def script() -> str:
    """Return all scripts as one immediately invoked function."""
    modules = "\n".join(wrap_module(name, asset(f"scripts/{name}.js")) for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n{modules}\n}})();\n'


def wrap_module(name: str, text: str) -> str:
    """Return a module as the constant `<name>_`, an object that holds the module's exports."""
    text = COMMENT.sub("", text)
    exports = ", ".join(match.group(2) for match in EXPORT.finditer(text))
    body = EXPORT.sub(r"\1 \2", IMPORT.sub(r"const \1 = \2_;", text))
    return f"const {name}_ = (() => {{\n{body}return {{ {exports} }};\n}})();"


@cache
def style() -> str:
    """Return all style sheets as one."""
    return "\n".join(asset(f"styles/{name}.css") for name in STYLES)


def csp_hash(text: str) -> str:
    """Return the source expression by which a content security policy allows this script."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode('ascii')}"


def asset(name: str) -> str:
    """Return the text of a file of this package."""
    return files("bob.leaderboards.page").joinpath(name).read_text(encoding="utf-8")
