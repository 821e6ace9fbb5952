"""All targets of the fuzzers, and how many inputs each gets in the tests."""

from collections.abc import Mapping

from tests.fuzz import (
    annotations,
    command_lines,
    feature_files,
    image_containers,
    loaders,
    pictures,
    published_tables,
    registries,
    results,
    stored_files,
)
from tests.fuzz.target import Prepare

TARGETS: Mapping[str, Prepare] = {
    "registries": registries.prepare,
    "annotations": annotations.prepare,
    "command_lines": command_lines.prepare,
    "feature_files": feature_files.prepare,
    "published_tables": published_tables.prepare,
    "image_containers": image_containers.prepare,
    "pictures": pictures.prepare,
    "results": results.prepare,
    "shards": stored_files.prepare_shards,
    "weights": stored_files.prepare_weights,
    "plans": stored_files.prepare_plans,
    "graphs": loaders.prepare_graphs,
    "image_processors": loaders.prepare_processors,
}
