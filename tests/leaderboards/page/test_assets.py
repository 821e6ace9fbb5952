"""The scripts are joined in dependency order."""

from bob.leaderboards.page.assets import IMPORT, SCRIPTS, asset, wrap_module


def test_scripts_import_only_from_earlier_ones() -> None:
    for index, name in enumerate(SCRIPTS):
        text = asset(f"scripts/{name}.js")
        imports = {match.group(2) for match in IMPORT.finditer(text)}
        assert imports <= set(SCRIPTS[:index]), name


def test_every_import_is_recognised() -> None:
    for name in SCRIPTS:
        lines = asset(f"scripts/{name}.js").splitlines()
        statements = sum(line.startswith("import ") for line in lines)
        assert statements == len(IMPORT.findall("\n".join(lines))), name


def test_the_page_has_no_lines_of_comments() -> None:
    text = '// Why.\nexport const url = "https://x"; // y\n  // More.\n'
    wrapped = 'const a_ = (() => {\nconst url = "https://x"; // y\nreturn { url };\n})();'
    assert wrap_module("a", text) == wrapped
