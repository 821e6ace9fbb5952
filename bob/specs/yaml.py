"""Validation of YAML files as closed, frozen specs.

An error names the file, the line or key, the value and a remedy. Ambiguities of YAML are errors:
repeated and merged keys, anchors, tags, dates, numbers in another base such as `010` (8) or `1:30`
(90), and values of the wrong type such as `1e-3` (text), `no` (False) or `1.10` (the number 1.1).
"""

import math
import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from bob.errors import ConfigError, first_line, nearest


class Closed(BaseModel):
    """Base class of frozen specs: unknown, missing and wrongly typed keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Spec = TypeVar("Spec", bound=Closed)


TAG = "tag:yaml.org,2002:"
"""Beginning of the tags of YAML's own types."""
DEEPEST = 100
"""Levels of nesting; entries have about five."""
LARGEST_FILE = 16 * 2**20
"""Characters of a file; the largest shipped one has a hundred thousand."""
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_CONTROL = re.compile("[^\t\n\r\x20-\x7e\u00a0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that YAML does not allow, or that are invisible and steer terminals."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """A safe loader of mappings, lists, text, numbers, true, false and null that read one way."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        return super().construct_object(node, deep=deep)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        mapping: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == f"{TAG}merge":
                raise _error(key_node, "merge keys are not allowed: write the values out")
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise _error(key_node, f"key {key!r} is not text: quote it")
            if key in mapping:
                raise _error(key_node, f"key {key!r} is repeated: remove one")
            mapping[key] = self.construct_object(value_node, deep=deep)
        return mapping


def _scalar(node: yaml.ScalarNode) -> str | int | float | bool | None:
    """Return the value of a scalar; MarkedYAMLError where it is ambiguous or impossible."""
    kind, text = node.tag.removeprefix(TAG), node.value
    if kind == "null":
        return None
    if kind == "bool":
        return bool(yaml.SafeLoader.bool_values[text.lower()])
    if kind == "int":
        return _integer(node, text)
    if kind == "float":
        return _decimal(node, text)
    if kind != "str":
        meaning = {"timestamp": "a date", "merge": "a merge key"}.get(kind, "a special value")
        raise _error(node, f"{_short(text)} is {meaning} in YAML: quote it")
    if found := _CONTROL.search(text):
        raise _error(node, f"text with the control character {found[0]!r}: remove it")
    return str(text)


def _integer(node: yaml.Node, text: str) -> int:
    """Return a decimal integer of 64 bits; YAML also has octal, binary and sexagesimal ones."""
    if not _DECIMAL.fullmatch(text):
        raise _error(node, f"{_short(text)} is a number in another base in YAML: quote it")
    digits = text.replace("_", "")
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**63:
        raise _error(node, f"the number {_short(text)} is too large: quote it if it is text")
    return int(digits)


def _decimal(node: yaml.Node, text: str) -> float:
    """Return a finite decimal number."""
    if ":" in text:
        raise _error(node, f"{_short(text)} is a number in another base in YAML: quote it")
    try:
        value = float(text.replace("_", ""))
    except ValueError:  # .inf and .nan
        value = math.inf
    if not math.isfinite(value):
        raise _error(node, f"the number {_short(text)} is not finite: quote it if it is text")
    return value


def _short(text: str) -> str:
    return repr(text) if len(text) <= 40 else f"{text[:40]!r}... ({len(text):,} characters)"


def _error(node: yaml.Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


_YAML_REMEDIES = {
    "cannot start any token": ": YAML is indented with spaces, not with tabs, "
    "and a value that begins with @, ` or % must be quoted",
    "mapping values are not allowed": ": is a ':' missing on the line before, "
    "or a value with ': ' in it not quoted?",
    "but found another document": ": a file holds one document; remove the line '---'",
}
"""Part of a parser's message → the usual cause."""


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping; ConfigError if it is anything else."""
    return parse_yaml(path, read_text(path))


def read_text(path: Path) -> str:
    """Read a UTF-8 file; ConfigError if it cannot be read or is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start}).") from error


def parse_yaml(path: Path, text: str) -> dict[str, Any]:
    """Parse the text of a YAML file as `read_yaml` does; errors name the path."""
    _refuse_characters(path, text)
    try:
        _refuse_ambiguities(text)
        values = yaml.load(text, _Loader)  # noqa: S506 (a safe loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        remedy = next(
            (text for part, text in _YAML_REMEDIES.items() if part in str(error.problem)), ""
        )
        raise ConfigError(
            f"{path}: line {mark.line + 1 if mark else '?'}: {error.problem}{remedy}."
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not YAML ({first_line(error)}).") from error
    if not isinstance(values, dict):
        raise ConfigError(
            f"{path}: must contain a mapping of keys to values; got {type(values).__name__}."
        )
    return values


def _refuse_characters(path: Path, text: str) -> None:
    if len(text) > LARGEST_FILE:
        raise ConfigError(f"{path}: is larger than {LARGEST_FILE:,} characters; is it a registry?")
    if found := _CONTROL.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise ConfigError(
            f"{path}: line {line}: the control character {found[0]!r} is not allowed: remove it."
        )


def _refuse_ambiguities(text: str) -> None:
    """Raise MarkedYAMLError for anchors, tags and deep nesting, before anything is built."""
    depth = 0
    for event in yaml.parse(text, _Loader):
        problem = None
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            problem = "anchors and aliases are not allowed: write the value out"
        elif (tag := getattr(event, "tag", None)) is not None:
            problem = (
                f"could not determine a constructor for the tag {tag!r}: tags are not allowed, "
                "write the value alone"
            )
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            problem = f"nested deeper than {DEEPEST} levels"
        if problem:
            raise yaml.MarkedYAMLError(
                problem=problem,
                problem_mark=event.start_mark,  # type: ignore[arg-type]
            )


def build(spec: type[Spec], values: object, where: str) -> Spec:
    """Validate `values` as a spec; ConfigError lists every problem, each preceded by `where`."""
    try:
        return spec.model_validate(values)
    except ValidationError as error:
        raise ConfigError(
            "\n".join(f"{where}: {_explain(spec, problem)}" for problem in error.errors())
        ) from error


KEY_CUTOFF = 0.7
"""Minimum similarity of a suggested key: `path` and `match`, being short, are alike by chance."""
_EXPECTED = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number (YAML reads 1e-3 as text: write 1.0e-3)",
    "string": "text (quote it: YAML reads no as False and 1.10 as a number)",
    "list": "a list",
    "tuple": "a list",
    "dict": "a mapping",
    "model": "a mapping",
    "model_attributes": "a mapping",
}


def _explain(spec: type[Closed], problem: ErrorDetails) -> str:
    """Return a message about one validation problem of pydantic."""
    kind, value, context = problem["type"], problem["input"], problem.get("ctx", {})
    location = problem["loc"]
    key = ".".join(str(part) for part in location)
    got = f"got {value!r} ({type(value).__name__})"
    tag_key = f"{key}.{str(context.get('discriminator')).strip(chr(39))}"
    if kind == "extra_forbidden":
        fields = sorted(_fields(spec, location[:-1]))
        suggestion = nearest(str(location[-1]), fields, KEY_CUTOFF)
        return f"unknown key {key!r}{suggestion} Allowed keys: {', '.join(fields)}."
    if kind == "missing" and isinstance(location[-1], int):
        return f"{key.rpartition('.')[0]} must be a longer list; got {value!r}."
    if kind == "missing":
        return f"key {key!r} is missing."
    if kind == "literal_error":
        return f"{key} must be one of {context['expected']}; got {value!r}."
    if kind == "union_tag_invalid":
        return f"{tag_key} must be one of {context['expected_tags']}; got {context['tag']!r}."
    if kind == "union_tag_not_found":
        return f"key {tag_key!r} is missing."
    if kind == "value_error":
        return f"{key + ': ' if key else ''}{context['error']}"
    if expected := _EXPECTED.get(kind.removesuffix("_type")):
        return f"{key} must be {expected}; {got}."
    return f"{key}: {problem['msg'].lower()}; {got}."


def _fields(spec: type[Closed], location: tuple[int | str, ...]) -> set[str]:
    """Return the keys allowed at a location in a spec; union tags and list indices are skipped."""
    models: list[type[BaseModel]] = [spec]
    for part in location:
        inner = [
            model
            for outer in models
            if part in outer.model_fields
            for model in _models(outer.model_fields[str(part)].annotation)
        ]
        models = inner or models
    return {name for model in models for name in model.model_fields}


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Return the models in a type annotation, however nested."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def plain(spec: BaseModel) -> Mapping[str, Any]:
    """Return a spec as JSON-ready values."""
    values: Mapping[str, Any] = spec.model_dump(mode="json")
    return values
