"""YAML values into closed, frozen specs. A problem is an error that names file, key, value and the remedy.

YAML's traps are refused rather than guessed at: a repeated key, `1e-3` (text to YAML), `no` (False to YAML), `1.10` (1.1 to YAML), anchors, tags.
"""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from bob.errors import ConfigError, nearest


class Closed(BaseModel):
    """A frozen spec: an unknown, missing or wrongly typed key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Spec = TypeVar("Spec", bound=Closed)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML values only: no tags, no repeated keys, no keys but text."""

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
    "cannot start any token": ": YAML is indented with spaces, not with tabs, and a value that begins with @, ` or % is quoted",
    "mapping values are not allowed": ": is a ':' missing on the line before, or a value with ': ' in it not quoted?",
}
"""What a parser's words mean in most cases."""


def read_yaml(path: Path) -> dict[str, Any]:
    """The top-level mapping of a YAML file."""
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
            (words for sign, words in _YAML_REMEDIES.items() if sign in str(error.problem)), ""
        )
        raise ConfigError(
            f"{path}: line {mark.line + 1 if mark else '?'}: {error.problem}{remedy}."
        ) from error
    if not isinstance(values, dict):
        raise ConfigError(
            f"{path}: must hold a mapping of keys to values; got {type(values).__name__}."
        )
    return values


def _refuse_anchors(text: str) -> None:
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise yaml.MarkedYAMLError(
                problem="anchors and aliases are not allowed: write the value out",
                problem_mark=event.start_mark,
            )  # type: ignore[arg-type]


def build(spec: type[Spec], values: object, where: str) -> Spec:
    """`values` as a `spec`, or a ConfigError that begins with `where` and tells every problem."""
    try:
        return spec.model_validate(values)
    except ValidationError as error:
        raise ConfigError(
            "\n".join(f"{where}: {_explain(spec, problem)}" for problem in error.errors())
        ) from error


KEY_CUTOFF = 0.7
"""Keys are short, so that two of them are alike by chance: `path` is no misspelling of `match`."""
_WANTED = {
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
    """One pydantic problem in this project's words."""
    kind, value, context = problem["type"], problem["input"], problem.get("ctx", {})
    key = ".".join(str(part) for part in problem["loc"])
    got = f"got {value!r} ({type(value).__name__})"
    if kind == "extra_forbidden":
        fields = sorted(_fields(spec, problem["loc"][:-1]))
        return f"unknown key {key!r}{nearest(str(problem['loc'][-1]), fields, KEY_CUTOFF)} Known keys: {', '.join(fields)}."
    if kind == "missing" and isinstance(problem["loc"][-1], int):
        return f"{key.rpartition('.')[0]} must be a longer list; got {value!r}."
    if kind == "missing":
        return f"key {key!r} is missing."
    if kind == "literal_error":
        return f"{key} must be one of {context['expected']}; got {value!r}."
    if kind == "union_tag_invalid":
        return f"{key}.{str(context['discriminator']).strip(chr(39))} must be one of {context['expected_tags']}; got {context['tag']!r}."
    if kind == "union_tag_not_found":
        return f"key '{key}.{str(context['discriminator']).strip(chr(39))}' is missing."
    if kind == "value_error":
        return f"{key + ': ' if key else ''}{context['error']}"
    if wanted := _WANTED.get(kind.removesuffix("_type")):
        return f"{key} must be {wanted}; {got}."
    return f"{key}: {problem['msg'].lower()}; {got}."


def _fields(spec: type[Closed], location: tuple[int | str, ...]) -> set[str]:
    """The keys allowed at a location inside a spec, union tags and list indices passed over."""
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
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def plain(spec: BaseModel) -> Mapping[str, Any]:
    """A spec as JSON-ready values."""
    values: Mapping[str, Any] = spec.model_dump(mode="json")
    return values
