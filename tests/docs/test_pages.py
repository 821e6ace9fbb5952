"""The documentation: its code runs, its commands parse, its generated pages are up to date."""

import ast
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from bob.cli.parser import build_parser
from bob.io.paths import CHECKOUT
from bob.plan import read_plan
from tests.builders import command_line_page, task_page
from tests.builders.photos import BASELINES, make_photos

DOCS = CHECKOUT / "docs"
OUTSIDE = [
    CHECKOUT / name
    for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "llms.txt")
]
"""Documents whose links `mkdocs build --strict` does not check as they are on a forge."""
PAGES = sorted(DOCS.rglob("*.md"))


def blocks(path: Path, language: str) -> list[str]:
    """Return the fenced blocks of a page in one language."""
    text = path.read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands(path: Path) -> list[list[str]]:
    """Return the arguments of every `bob-bench` command in the shell blocks of a page."""
    lines = "\n".join(blocks(path, "sh")).replace("\\\n", " ").splitlines()
    found = []
    for line in lines:
        words = shlex.split(line, comments=True)
        words = words[: words.index(">")] if ">" in words else words
        if words[:1] == ["bob-bench"]:
            found.append(words[1:])
        elif words[:2] == ["python", "run_benchmark.py"]:
            found.append(["run", *words[2:]])
    return found


@pytest.mark.parametrize(
    "path",
    [path for path in [*PAGES, *OUTSIDE] if commands(path)],
    ids=lambda path: str(path.relative_to(CHECKOUT)),
)
def test_commands_parse(path: Path) -> None:
    for words in commands(path):
        try:
            unknown = build_parser().parse_known_args(words)[1]
        except SystemExit:
            pytest.fail(f"bob-bench {shlex.join(words)}")
        assert not unknown, shlex.join(words)


def test_the_python_guide_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photos: Path, shared_cache: Path
) -> None:
    """Run its blocks in order in one session, beside a folder `photos/`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOB_CACHE", str(shared_cache))
    page = DOCS / "how_to" / "python.md"
    session: dict[str, object] = {}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), session)
    assert len(session["scores"]) > 0  # type: ignore[arg-type]


def test_the_tutorial_writes_its_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOB_CACHE", str(tmp_path / "cache"))
    page = DOCS / "tutorial" / "first_answer.md"
    (block,) = blocks(page, "python")
    exec(compile(block, str(page), "exec"), {})
    for name in ("functional", "defective"):
        assert len(list((tmp_path / "photos" / name).iterdir())) == 200


def skeleton(text: str) -> str:
    """Return a text in one line with every number as #."""
    return re.sub(r"\d[\d,.]*", "#", " ".join(text.split()))


def test_the_tutorial_shows_what_the_commands_print(
    tmp_path: Path, bob: Callable[..., tuple[int, str, str]]
) -> None:
    """But for numbers and names: two baselines on a folder of two classes print the same lines."""
    planned, ran = blocks(DOCS / "tutorial" / "first_answer.md", "text")[1:3]
    photos = make_photos(tmp_path / "photos", per_class=20, classes=2, side_px=8)
    words = ("run", "--data", photos, "--backbones", BASELINES, "--tasks", "linear,knn")
    _, out, _ = bob(*words, "--dry-run")
    assert skeleton(out).split("; estimated")[0] == skeleton(planned).split("; estimated")[0]
    _, out, _ = bob(*words)
    title = "photos [95 % CI]"
    for text in (out, ran):
        assert text.splitlines()[-1].startswith("Charts, and how each number was made: ")
        assert "embedding photos train, # backbones, # images" in skeleton(text)
        assert re.search(r"^  linear · photos · \w+: top1 [\d.]+ % \[", text, flags=re.MULTILINE)
        (heading,) = (line for line in text.splitlines() if line.startswith("┃"))
        assert [word.strip() for word in heading.split("┃")[1:-1]] == [
            "backbone",
            "params (M)",
            "knn top1",
            "linear top1",
        ]
        assert title in text.splitlines() or f"{title}; ≈ statistically tied" in text


def test_the_plan_of_the_architecture_page_is_a_plan() -> None:
    (text,) = blocks(DOCS / "architecture.md", "json")
    plan = read_plan(text, "docs/architecture.md")
    assert plan.cells[0].features == tuple(
        digest for p in plan.passes for digest in p.forwards[0].outputs.values()
    )


def test_the_guide_to_protocols_shows_the_one_that_is_tested() -> None:
    """The same statements as tests/builders/toy_protocol.py, without what installs it."""
    source = (CHECKOUT / "tests" / "builders" / "toy_protocol.py").read_text(encoding="utf-8")
    page = DOCS / "how_to" / "own_task.md"
    (code,) = blocks(page, "python")
    tested = [ast.dump(node) for node in ast.parse(source).body]
    shown = [ast.dump(node) for node in ast.parse(code).body]
    assert [node for node in tested if node in shown] == shown
    task = source.partition('TASK = """\\\n')[2].partition('"""')[0]
    assert any(task.strip() in block for block in blocks(page, "yaml"))


@pytest.mark.parametrize(
    ("page", "text"),
    [
        (command_line_page.PAGE, command_line_page.command_line_page),
        (task_page.PAGE, task_page.task_page),
    ],
    ids=["command_line", "tasks"],
)
def test_generated_pages_are_up_to_date(page, text):
    """`python -m tests.builders.command_line_page` and `... task_page` write them again."""
    assert page.read_text(encoding="utf-8") == text()


@pytest.mark.parametrize("path", [*OUTSIDE, *PAGES], ids=lambda path: str(path.name))
def test_links_lead_to_files(path: Path) -> None:
    """Also on a forge, where the documents are read as they lie in the repository."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)\s]*)?\)", text)
    missing = [link for link in links if not (path.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("path", [*OUTSIDE, *PAGES], ids=lambda path: str(path.name))
def test_modules_named_in_a_page_exist(path: Path) -> None:
    """Files may be listed as in `bob/leaderboards/{ranking,pairwise}.py`.

    A dotted name may end with what the module defines.
    """
    text = path.read_text(encoding="utf-8")
    files = [
        f"{before}{name}{after}"
        for before, names, after in re.findall(r"`(bob/[\w/]*)(?:\{([\w,]+)\})?([\w/.]*)`", text)
        for name in names.split(",")
    ]
    missing = [file for file in files if "NAME" not in file and not (CHECKOUT / file).exists()]
    names = re.findall(r"`(bob(?:\.\w+)+)", text)
    assert not missing + [name for name in names if not _is_defined(name)]


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    navigation = (CHECKOUT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    listed = set(re.findall(r"[\w/-]+\.md", navigation))
    assert {str(page.relative_to(DOCS)) for page in PAGES} <= listed


def test_pages_named_in_code_exist() -> None:
    named = {
        (page, path)
        for path in (CHECKOUT / "bob").rglob("*.py")
        for page in re.findall(r"docs/[\w/-]+\.\w+", path.read_text(encoding="utf-8"))
    }
    assert named
    assert not [(page, path) for page, path in named if not (CHECKOUT / page).exists()]


def _is_defined(name: str) -> bool:
    """Return whether a dotted name is a module, or is defined or imported in one."""
    module = CHECKOUT
    for i, part in enumerate(parts := name.split(".")):
        if (module / part).is_dir():
            module = module / part
        elif (file := module / f"{part}.py").exists():
            return i + 1 == len(parts) or parts[i + 1] in file.read_text(encoding="utf-8")
        else:
            return part in (module / "__init__.py").read_text(encoding="utf-8")
    return True


def test_notebook_links_lead_to_files() -> None:
    path = DOCS / "notebooks" / "first_answer.ipynb"
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        for link in re.findall(r"\]\(([^):\s]+)\)", "".join(cell["source"])):
            assert (path.parent / link).exists() or cell["cell_type"] == "code", link
