"""Validation of YAML files as closed, frozen specs.

An error names the file, the key, the value and a remedy. Ambiguities of YAML are errors: repeated
keys, anchors, tags, and values of the wrong type such as `1e-3` (text), `no` (False) or `1.10`
(the number 1.1).
"""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from bob.errors import ConfigError, nearest


class Closed(BaseModel):
    """Base class of frozen specs: unknown, missing and wrongly typed keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Spec = TypeVar("Spec", bound=Closed)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """A safe loader that accepts no tags, no repeated keys and only text as keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.MarkedYAMLError(
                    problem=f"key {key!r} is not text: quote it", problem_mark=key_node.start_mark
                )
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"key {key!r} is repeated: remove one", problem_mark=key_node.start_mark
                )
            seen.add(key)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return mapping


_YAML_REMEDIES = {
    "cannot start any token": ": YAML is indented with spaces, not with tabs, "
    "and a value that begins with @, ` or % must be quoted",
    "mapping values are not allowed": ": is a ':' missing on the line before, "
    "or a value with ': ' in it not quoted?",
}
"""Part of a parser's message → the usual cause."""


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping; ConfigError if it is anything else."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start}).") from error
    try:
        _refuse_anchors(text)
        values = yaml.load(text, _Loader)  # noqa: S506 (a safe loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        remedy = next(
            (text for part, text in _YAML_REMEDIES.items() if part in str(error.problem)), ""
        )
        raise ConfigError(
            f"{path}: line {mark.line + 1 if mark else '?'}: {error.problem}{remedy}."
        ) from error
    if not isinstance(values, dict):
        raise ConfigError(
            f"{path}: must contain a mapping of keys to values; got {type(values).__name__}."
        )
    return values


def _refuse_anchors(text: str) -> None:
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise yaml.MarkedYAMLError(
                problem="anchors and aliases are not allowed: write the value out",
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
