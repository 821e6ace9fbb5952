"""Sources of datasets: where images, labels and splits come from, one closed class per reader."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bob.specs.data_options import LABEL
from bob.specs.yaml import Closed

Role = Literal["train", "val", "test", "query", "gallery"]
"""Name of a split in this package."""
RevisionPrefix = Annotated[str, Field(pattern=r"^[0-9a-f]{7,39}$")]
OneOrMany = str | Annotated[tuple[str, ...], Field(strict=False)]


class RepositorySource(Closed):
    """A dataset repository on the Hugging Face hub, or a local copy of one."""

    hub: str | None = None
    """Repository id, `owner/name`."""
    path: str | None = None
    """Path of a local copy. `$BOB_DATA/...` is resolved against that environment variable."""
    revision: str | None = None
    """Commit (40 hex digits), tag or branch; None is the current state of the repository."""
    revision_prefix: RevisionPrefix | None = None
    """First digits of the commit, where no more is published. The current commit must match."""

    @model_validator(mode="after")
    def _check_location(self) -> "RepositorySource":
        if (self.hub is None) == (self.path is None):
            given = "both" if self.hub else "neither"
            raise ValueError(f"needs exactly one of hub, path; got {given}")
        if self.revision and self.revision_prefix:
            raise ValueError("needs at most one of revision, revision_prefix; got both")
        return self


class TableColumns(Closed):
    """The columns of a table of images."""

    image: str
    """Name of the image column."""
    label: str | None = None
    """Name of the label column.

    It holds a ClassLabel, whole numbers or text; or lists of these if an image can have several
    labels.
    """
    captions: str | None = None
    """Name of a column of text, or of lists of text."""
    group: str | None = None
    """Name of a column whose equal values must stay on one side of an automatic split."""
    attributes: dict[str, str] = {}
    """Attribute name → name of the column that holds it: {domain: domain}."""


class HuggingFaceSource(RepositorySource, TableColumns):
    """A dataset that `datasets` can open: Parquet, or a folder written by `save_to_disk`."""

    reader: Literal["huggingface"]
    config: str | None = None
    splits: Annotated[dict[Role, OneOrMany], Field(strict=False, min_length=1)]
    """Split → name of the repository's split, or a list of names to concatenate.

    With `train` and without `test`, `train` is split automatically.
    """


class ParquetSource(TableColumns):
    """Parquet files in a folder, or a single one."""

    reader: Literal["parquet"]
    path: str
    splits: Annotated[dict[Role, OneOrMany], Field(strict=False)] = {}
    """Split → its files, by name or glob below `path`: {train: 'data/train-*.parquet'}.

    Without it, the names of the files and of their folders name the splits.
    """
    split: str | None = None
    """Name of a column that names the split of each row."""


class WebDatasetSource(RepositorySource):
    """Tar files in which an image and its label share a name: `0001.jpg`, `0001.cls`."""

    reader: Literal["webdataset"]
    data_files: Annotated[dict[Role, OneOrMany], Field(strict=False, min_length=1)]
    """Split → its tar files, by name or glob: {train: train/*.tar}. Nothing is guessed."""
    image: str = "auto"
    """Extension of the images; `auto` is the first image extension found, the same in all tars."""
    label: str | None = "cls"
    """Extension of the labels, whole numbers or text; `npy` holds one 0 or 1 per class."""
    captions: str | None = None
    """Extension of the captions, one per line."""
    names_file: str | None = None
    """File of the repository that lists the class names in label order, one per line."""


class FolderSource(Closed):
    """Class folders, or train/[val]/test folders that contain class folders."""

    reader: Literal["folder"]
    path: str
    splits: Annotated[dict[Role, str], Field(strict=False)] = {}
    """Split → the folder that contains its class folders, if these have other names."""
    levels: tuple[str, ...] = Field((), strict=False)
    """Attributes that the folders between split and class encode: [corruption, severity].

    `label` is the level of the classes, where folders below it encode attributes too: [label,
    vendor] for `cat/apple/1.png`. Without it, classes are the level below the last one.
    """

    @property
    def attributes(self) -> tuple[str, ...]:
        """The levels that encode attributes."""
        return tuple(level for level in self.levels if level != LABEL)


class TableSource(Closed):
    """A table with the columns path, label and optionally split and group.

    The other fields adapt it to the lists that published datasets come with.
    """

    reader: Literal["table"]
    path: str
    separator: Literal["comma", "blank"] = "comma"
    """`comma` reads CSV; `blank` splits unquoted cells at runs of white space."""
    skip: Annotated[int, Field(ge=0)] = 0
    """Number of lines above the header."""
    header: tuple[str, ...] = Field((), strict=False)
    """Column names, if the file has no header line."""
    columns: dict[Literal["path", "label", "split", "group"], str] = {}
    """Standard column → the table's column, if it has another name."""
    splits: dict[str, Role | Literal["-"]] = {}
    """The table's name of a split → split, if it has another name; `-` skips its rows."""
    split: Role | None = None
    """Split of all rows, if the table has no such column."""
    label_separator: Annotated[str, Field(min_length=1)] | None = None
    """Separator of the labels in a cell; None if each image has a single label."""
    images: str | None = None
    """Folder that paths are relative to, itself relative to the table's folder (the default)."""


class ArraysSource(Closed):
    """Images in NumPy files: a MedMNIST `.npz`, or the folder of CIFAR-C's `.npy` files."""

    reader: Literal["medmnist", "cifar_c"]
    path: str


class RevisitedSource(Closed):
    """Landmark retrieval judged as in Revisited Oxford and Paris.

    The ground truth is `gnd_*.pkl`, or the same content as `.json` or `.mat`.
    """

    reader: Literal["revisited"]
    path: str
    """Folder of the images."""
    ground_truth: str
    """Ground-truth file, relative to that folder."""
    extension: str = ".jpg"
    """Extension to append to the image names in the ground truth."""


class QrelsSource(RepositorySource):
    """An mteb retrieval repository: configs query, corpus and qrels (or queries and default)."""

    reader: Literal["qrels"]
    split: str = "test"


class RealSource(Closed):
    """ImageNet's validation images with the ReaL label sets, which timm ships."""

    reader: Literal["imagenet_real"]
    path: str
    """Folder that contains ILSVRC2012_val_00000001.JPEG ... at any depth."""


class PairedFoldersSource(Closed):
    """Images and targets of their pixels, in two folders of files with the same names."""

    path: str
    images: str = "images"
    """Folder of the images below `path`."""
    image_suffix: str = ""
    """End of the images' names that targets lack: `_leftImg8bit`."""
    splits: Annotated[dict[Role, str], Field(strict=False)] = {}
    """Split → its folder below those of both: {train: training, test: validation}.

    Without it, folders called train, val and test are splits.
    """
    lists: Annotated[dict[Role, str], Field(strict=False)] = {}
    """Split → the file that names its images, one per line, instead of folders."""

    @model_validator(mode="after")
    def _has_one_kind_of_splits(self) -> "PairedFoldersSource":
        if self.splits and self.lists:
            raise ValueError("needs at most one of splits, lists; got both")
        return self


class MasksSource(PairedFoldersSource):
    """Images with a mask each."""

    reader: Literal["masks"]
    masks: str = "masks"
    """Folder of the masks below `path`: PNG files whose values are class indices."""
    mask_suffix: str = ""
    """End of the masks' names that images lack: `_gtFine_labelTrainIds`."""
    first_index: Annotated[int, Field(ge=0)] = 0
    """Index of the first class in the masks: 1 where 0 stands for no class."""
    ignored: tuple[Annotated[int, Field(ge=0)], ...] = Field((255,), strict=False)
    """Indices of pixels that do not count."""


class DepthScale(Closed):
    """What the values of depth maps mean, and which of them count."""

    per_metre: Annotated[float, Field(gt=0)]
    """Value of the depth maps for one metre: 1000 where they are in millimetres."""
    range_m: tuple[Annotated[float, Field(gt=0)], float] = Field(strict=False)
    """Least and greatest depth in metres, between which pixels count."""
    crop: Literal["eigen", "garg"] | None = None
    """Part of a test image that is scored; None is all of it."""

    @model_validator(mode="after")
    def _has_a_range(self) -> "DepthScale":
        if self.range_m[1] <= self.range_m[0]:
            raise ValueError(f"range_m must ascend; got {list(self.range_m)!r}")
        return self


class DepthListsSource(DepthScale):
    """Images with a depth map each, which lists pair, as in depth estimation on NYUv2 and KITTI."""

    reader: Literal["depth_lists"]
    path: str
    lists: Annotated[dict[Role, str], Field(strict=False, min_length=1)]
    """Split → its list below `path`: an image and its depth map per line."""
    images: str = ""
    """Folder below `path` from which the paths of images count."""
    depths: str = ""
    """Folder below `path` from which the paths of depth maps count."""


class DepthFoldersSource(PairedFoldersSource, DepthScale):
    """Images with a depth map each, in two folders."""

    reader: Literal["depth_folders"]
    depths: str = "depths"
    """Folder of the depth maps below `path`: PNG files of 16 bits."""
    depth_suffix: str = ""
    """End of the depth maps' names that images lack."""


class CocoSource(Closed):
    """Images with boxes of their objects, which COCO JSON files name."""

    reader: Literal["coco"]
    path: str
    annotations: Annotated[dict[Role, str], Field(strict=False, min_length=1)]
    """Split → its JSON file below `path`: {train: annotations/instances_train2017.json}.

    With `train` and without `test`, `train` is split automatically.
    """
    images: Annotated[dict[Role, str], Field(strict=False)] = {}
    """Split → folder below `path` from which the names of its images count; else `path`."""


class VocBoxesSource(Closed):
    """Pascal VOC's folder of a year: images with an XML file of boxes each."""

    reader: Literal["voc_boxes"]
    path: str
    lists: Annotated[dict[Role, str], Field(strict=False, min_length=1)]
    """Split → the file that names its images: {test: ImageSets/Main/test.txt}."""


class DavisSource(Closed):
    """DAVIS 2017's folder: frames of videos with a mask of their objects each."""

    reader: Literal["davis"]
    path: str
    list: str
    """File that names the videos."""


class SPairSource(Closed):
    """SPair-71k's folder: pairs of images of one category with points that correspond."""

    reader: Literal["spair"]
    path: str
    split: Literal["trn", "val", "test"] = "test"
    """Folder of the pairs below `PairAnnotation`."""


class NaviDepthSource(Closed):
    """NAVI's folder: photographs of objects, with the depth of the object's pixels."""

    reader: Literal["navi_depth"]
    path: str


class NaviPairsSource(Closed):
    """NAVI's folder: pairs of photographs of an object, with points that correspond."""

    reader: Literal["navi_pairs"]
    path: str
    pairs: str
    """File that lists pairs, below `path`."""


class NightsSource(Closed):
    """NIGHTS' folder: references, two images for each, and which of them people chose."""

    reader: Literal["nights"]
    path: str
    split: Literal["train", "val", "test"] = "test"
    """The table's split to read."""


class DollarStreetSource(Closed):
    """Dollar Street's folder: household objects, with the income and region of each home."""

    reader: Literal["dollar_street"]
    path: str


class ClassListsSource(Closed):
    """Images whose paths, classes and splits are in four lists, as in CUB-200-2011 and NABirds."""

    reader: Literal["class_lists"]
    path: str


class SampleSource(Closed):
    """A dataset installed from the package index: `pip install 'bob-bench[samples]'`."""

    reader: Literal[
        "elpv",
        "openmoji",
        "openmoji_clips",
        "openmoji_depth",
        "openmoji_objects",
        "openmoji_pairs",
        "openmoji_scenes",
        "textiles",
    ]
    styles: tuple[Literal["colour", "line"], ...] = Field(("colour",), strict=False, min_length=1)
    """For openmoji: render each emoji in colour, as line art, or both. For the other samples of
    openmoji drawings: one of these."""
    skin_tones: bool = False
    """For openmoji: add the five skin tones in colour. The images of an emoji form a group."""

    @property
    def is_rendered(self) -> bool:
        """Whether each image is rendered from a drawing when it is read."""
        return self.reader == "openmoji"

    @model_validator(mode="after")
    def _check_openmoji_options(self) -> "SampleSource":
        if self.reader == "openmoji":
            return self
        is_composed = self.reader.startswith("openmoji_")
        if self.skin_tones or (self.styles != ("colour",) and not is_composed):
            raise ValueError(
                f"'styles' and 'skin_tones' apply only to reader 'openmoji'; got {self.reader!r}"
            )
        if len(self.styles) > 1:
            raise ValueError(f"{self.reader} has one style; got {list(self.styles)!r}")
        return self


Source = Annotated[
    HuggingFaceSource
    | WebDatasetSource
    | FolderSource
    | TableSource
    | ParquetSource
    | ArraysSource
    | RevisitedSource
    | QrelsSource
    | RealSource
    | MasksSource
    | DepthListsSource
    | DepthFoldersSource
    | CocoSource
    | VocBoxesSource
    | DavisSource
    | SPairSource
    | NaviDepthSource
    | NaviPairsSource
    | NightsSource
    | DollarStreetSource
    | ClassListsSource
    | SampleSource,
    Field(discriminator="reader"),
]
