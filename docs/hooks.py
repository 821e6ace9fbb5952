"""Pages of the site that are made from other files: the notebook, and documents beside docs/."""

import json
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DOCUMENTS = {
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "benchmarks/README.md": "project/benchmarks.md",
    "bob/numerics/linear/README.md": "explanation/linear.md",
}
"""Document of the repository → its page."""
NOTEBOOK = "notebooks/first_answer"
LINK = re.compile(r"(?<!!)\[([^]]*)\]\(([^)#:\s]+)(#[^)\s]*)?\)")
"""A Markdown link to a file of the repository: its text, target and anchor."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for document, page in DOCUMENTS.items():
        text = (ROOT / document).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_relinked(text, document, page)))
    notebook = json.loads((ROOT / "docs" / f"{NOTEBOOK}.ipynb").read_text(encoding="utf-8"))
    files.append(File.generated(config, f"{NOTEBOOK}.md", content=notebook_page(notebook)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Redirect links to documents beside docs/ to their pages."""
    source = page.file.src_uri
    if page.file.generated_by:
        return markdown
    return _relinked(markdown, f"docs/{source}", source)


def _relinked(text: str, document: str, page: str) -> str:
    """Return the text with links that lead from `page` to where those of `document` led.

    Links to files that are not part of the site become their text; broken links stay as they are,
    for mkdocs to report.
    """

    def replace(match: re.Match[str]) -> str:
        title, link, anchor = match[1], match[2], match[3] or ""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(document), link))
        if path in DOCUMENTS:
            target = DOCUMENTS[path]
        elif path.startswith("docs/") and (ROOT / path).exists():
            target = path.removeprefix("docs/")
        else:
            return title if (ROOT / path).exists() else match[0]
        return f"[{title}]({posixpath.relpath(target, posixpath.dirname(page))}{anchor})"

    return LINK.sub(replace, text)


def notebook_page(notebook: dict[str, Any]) -> str:
    """Return the cells of a notebook with their outputs as Markdown."""
    return "\n\n".join(part for cell in notebook["cells"] for part in _cell(cell))


def _cell(cell: dict[str, Any]) -> list[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return [source]
    return [f"```python\n{source}\n```", *map(_output, cell["outputs"])]


def _output(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        encoded = "".join(data["image/png"]).replace("\n", "")
        return f'<img alt="Figure drawn by the cell above" src="data:image/png;base64,{encoded}">'
    if "text/html" in data:
        html = re.sub(r"<style.*?</style>", "", "".join(data["text/html"]), flags=re.DOTALL)
        return f'<div class="notebook-output">{html}</div>'.replace("\n", "")
    text = "".join(output.get("text") or data.get("text/plain", ""))
    return f"```text\n{text.rstrip()}\n```"
