"""The functions of `import bob`: what the commands do, as functions that return values.

Large packages are imported when they are first used, so that `import bob` is fast.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from bob.errors import BobError, ConfigError, NotApplicableError, UnavailableError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from PIL import Image

    from bob.backbones.backbone import Backbone
    from bob.datasets.dataset import Dataset
    from bob.engine.engine import EngineListener
    from bob.engine.racing.contest import RaceSettings
    from bob.engine.racing.run import RaceListener
    from bob.engine.solve import Solution
    from bob.plan import Plan, Workspace
    from bob.precomputed.evaluate import LabelledInput
    from bob.registry import Registry, Selected
    from bob.specs import BackboneSpec, DataOptions, DatasetSpec, TaskSpec
    from bob.statistics.racing import Certified

Names = str | Sequence[str]
"""Names, globs, groups such as `family:ssl`, or `all`: separated by commas, or as a list."""
Conditions = Mapping[str, str | Sequence[str]]
"""Column → the value, or the values, of the images of a split: `{"vendor": "apple"}`."""
RESULTS = "results"
"""Default folder of the records, as on the command line."""
EMBEDDED_TOGETHER = 64
"""Images that `extract` crops and embeds at once."""


def run(
    backbones: Names | None = None,
    tasks: Names = "group:core",
    datasets: Names | None = None,
    *,
    data: "str | PathLike[str] | Sequence[str | PathLike[str]]" = (),
    test_split: str | None = None,
    boxes: str | None = None,
    normal: Sequence[str] = (),
    levels: Sequence[str] = (),
    label: Names = (),
    group: str | None = None,
    depth: Sequence[float] | None = None,
    train: Conditions | None = None,
    val: Conditions | None = None,
    test: Conditions | None = None,
    shift: Conditions | None = None,
    retrieve: Names = (),
    results: "str | PathLike[str]" = RESULTS,
    cache: "str | PathLike[str] | None" = None,
    registry: "Registry | None" = None,
    device: str = "auto",
    runtime: str = "auto",
    precision: str = "float32",
    alpha: str = "white",
    limit: int | None = None,
    seeds: Sequence[int] = (0,),
    max_params: int | None = None,
    skip_bad_images: bool = False,
    offline: bool = False,
    fresh: bool = False,
    race: bool = False,
    indifference: float = 0.0,
    race_error: float = 0.05,
    race_seed: int = 0,
    certify: "Certified" = "drops",
    budget: int | None = None,
    listener: "EngineListener | RaceListener | None" = None,
) -> "pd.DataFrame":
    """Embed images with backbones, run tasks on the features, and store the records.

    Does what `bob-bench run` does, without writing the leaderboard's files. Features in `cache` and
    records in `results` are not computed again.

    Parameters
    ----------
    backbones, tasks, datasets
        Selections from the registry. Without backbones, those whose weights are on this machine;
        without datasets, those of each task, or `data` alone.
    data
        Folders of class folders, CSV tables or parquet files of your own.
    test_split
        Split of `data` to test on, by its name or that of its folder: `val`, `holdout`.
    boxes
        COCO JSON file with the boxes of the images in `data`, for task `detect`.
    normal
        Classes of `data` that are normal, for task `anomaly`; all others are anomalies.
    levels
        Names of the levels of folders in `data`, the uppermost first: `["vendor", "label"]`.
    label
        Columns of `data` with the classes; each makes a dataset.
    group
        Column whose equal values are never divided between train and test.
    depth
        The value of depth maps in `data` for a metre, and the least and greatest depth in metres
        that count: `(1000, 0.1, 10)` for maps in millimetres.
    train, val, test, shift
        Column → values of the images of each split, such as `train={"vendor": "apple"}`; each value
        of `shift` is a further test set.
    retrieve
        Columns whose equal values are to be retrieved among all images.
    results, cache
        Folders of records and of stored features; the cache defaults to that of the command line.
    registry
        The result of `load_registry`, where your own files add entries.
    alpha
        Background on which transparent images are laid: `white`, `black`, or `drop` for the colours
        that are stored under transparent pixels.
    race
        Embed images block by block, and drop backbones once another is shown to be better. Only the
        survivors are run in full.
    indifference, race_error, race_seed
        Difference of accuracies up to which nothing is dropped (below 0, the lead that makes a
        backbone the best that is kept), bound of the probability that what is certified is false,
        and seed of the order of images.
    certify
        `drops`: every dropped backbone is worse than another. `best`: a backbone that no other
        beats is not dropped, which takes fewer images. `tie`: the best leads a survivor by so
        little that a full run could not show it, or by less than minus a negative `indifference`.
    budget
        Largest number of images that a race embeds, counted for each backbone.
    listener
        Receives the progress; with `race`, a `RaceListener`. By default a progress bar in a
        notebook, and nothing elsewhere: `bob.engine.progress_bar.ProgressBar()` shows the bar there
        too.

    Returns
    -------
    pandas.DataFrame
        One row per score of the selected cells, as in `leaderboard`. Failed cells have
        `status == "failed"` and a reason, backbones dropped by a race `status == "dropped"`.
        Printed, it shows the scores that rank each task, in few columns.

    Raises
    ------
    UnavailableError
        A backbone or dataset that was named exactly is not available here.
    ConfigError
        A name is unknown, a setting is out of its range, a device does not work, or `race` and
        `fresh` are combined.
    NotApplicableError
        No task applies to the datasets, or a task cannot be raced.
    """
    from bob.plan import Machine, Places, Request, RunSettings, make_plan, make_workspace
    from bob.registry import choose_backbones
    from bob.specs.yaml import build

    known = registry or load_registry()
    chosen_tasks = _tasks(tasks, known)
    _require_runtime(runtime)
    if race:
        _require_raceable(chosen_tasks, fresh)
    race_settings = _race_settings(race_error, indifference, race_seed, certify)
    _require_race_arguments(race_settings, budget, race=race)
    columns = {
        "levels": tuple(levels),
        "group": group,
        "depth": depth,
        "boxes": boxes,
        "test_split": test_split,
        "normal": tuple(normal),
    }
    conditions = {"train": train, "val": val, "test": test, "shift": shift}
    options = _data_options(columns, conditions, label, retrieve)
    request = Request(
        backbones=choose_backbones(_optional(backbones), known),
        tasks=chosen_tasks,
        datasets=_datasets(datasets, data, chosen_tasks, known, options),
        entries=known.datasets,
        places=Places(_cache(cache), Path(results)),
        settings=build(
            RunSettings,
            {
                "precision": precision,
                "alpha": alpha,
                "limit": limit,
                "seeds": tuple(seeds),
                "skip_bad": skip_bad_images,
                "fresh": fresh,
            },
            "bob.run",
        ),
        machine=Machine(
            devices=tuple(_devices(device, precision)),
            workers=_workers(),
            runtime=runtime,
            offline=offline,
        ),
        max_params=max_params,
    )
    workspace = make_workspace(request)
    plan = make_plan(request, workspace)
    _require_cells(plan)
    if race:
        _run_races(plan, workspace, listener, race_settings, budget)
    else:
        _run_all(plan, workspace, listener)
    return _scores(results, {cell.key for cell in plan.all_cells()})


def _require_raceable(tasks: "Sequence[TaskSpec]", fresh: bool) -> None:
    from bob.engine.racing.trial import require_raceable

    if fresh:
        raise ConfigError("a race resumes from stored features; leave out fresh=True.")
    for task in tasks:
        require_raceable(task)


def _require_runtime(runtime: str) -> None:
    from bob.extraction.runtimes.stated import RuntimeName

    runtimes = ("auto", *get_args(RuntimeName))
    if runtime not in runtimes:
        raise ConfigError(f"runtime must be one of {', '.join(runtimes)}; got {runtime!r}.")


def _race_settings(
    race_error: float, indifference: float, race_seed: int, certify: "Certified"
) -> "RaceSettings":
    from bob.engine.racing.contest import RaceSettings

    return RaceSettings(error=race_error, margin=indifference, seed=race_seed, certified=certify)


def _require_race_arguments(settings: "RaceSettings", budget: int | None, *, race: bool) -> None:
    """Raise ConfigError for a budget below 1, and for arguments of a race without `race`."""
    from bob.engine.racing.contest import RaceSettings

    if budget is not None and budget < 1:
        raise ConfigError(f"budget must be at least 1 image; got {budget!r}.")
    if not race and (settings != RaceSettings() or budget is not None):
        raise ConfigError(
            "indifference, race_error, race_seed, certify and budget belong to race=True."
        )


def _require_cells(plan: "Plan") -> None:
    """Raise UnavailableError or NotApplicableError if a plan lacks what was asked for by name."""
    if missing := [skip.reason for skip in plan.skipped if skip.exact]:
        raise UnavailableError("\n".join(missing))
    if plan.unsuited and not any(plan.all_cells()):
        raise NotApplicableError("\n".join(plan.unsuited))


def _run_all(
    plan: "Plan", workspace: "Workspace", listener: "EngineListener | RaceListener | None"
) -> None:
    """Compute the records of a plan."""
    from bob.engine.choose import make_engine
    from bob.engine.conductor import conduct
    from bob.engine.engine import SilentEngineListener
    from bob.engine.progress_bar import ProgressBar, in_notebook

    shown = listener or (ProgressBar() if in_notebook() else SilentEngineListener())
    for _ in conduct(plan, workspace, make_engine(None, workspace, None, shown), shown):
        pass


def _run_races(
    plan: "Plan",
    workspace: "Workspace",
    listener: "EngineListener | RaceListener | None",
    settings: "RaceSettings",
    budget: int | None,
) -> None:
    """Compute the records of a plan with races."""
    from bob.engine.local import LocalEngine
    from bob.engine.racing.run import RaceBudget, RaceListener, RaceRun, SilentRaceListener

    received = cast(RaceListener, listener) if listener else SilentRaceListener()
    engine, images = LocalEngine(workspace), RaceBudget(images=budget)
    for _ in RaceRun(plan, workspace, engine, received, settings, images).run():
        pass


def evaluate(
    train: "LabelledInput",
    test: "LabelledInput | None" = None,
    *,
    tasks: Names = "linear,knn",
    **options: Any,
) -> "dict[str, Solution]":
    """Run tasks on precomputed features: arrays in, scores with intervals out.

    See `bob.precomputed.evaluate.evaluate` for validation sets, groups, shifts, seeds and devices.

    Parameters
    ----------
    train, test
        Pairs of features (N, D) and labels (N,). Without test, a fifth of each class is sampled.
    tasks
        Names of tasks.

    Returns
    -------
    dict
        Task → solution, whose `score` is the ranking metric with its interval.
    """
    from bob.precomputed.evaluate import evaluate

    return evaluate(train, test, tasks=_joined(tasks), **options)


def load_backbone(
    backbone: "str | BackboneSpec",
    *,
    device: str = "auto",
    precision: str = "float32",
    offline: bool = False,
    registry: "Registry | None" = None,
) -> "Backbone":
    """Load a registered backbone with its weights, frozen and checked.

    Returns
    -------
    bob.backbones.backbone.Backbone
        Its `geometry` crops PIL images, `embed` turns uint8 crops (B, 3, H, W) into features.

    Raises
    ------
    UnavailableError
        Its weights are not here and cannot be downloaded.
    BackboneError
        The weights do not fit, or the backbone gives other features than its entry declares.
    """
    from bob.backbones.card import load_backbone

    (where,) = _devices(device, precision)
    loaded = load_backbone(_spec(backbone, registry), where, precision, offline=offline)
    loaded.check()
    return loaded


def extract(
    backbone: "str | BackboneSpec | Backbone",
    images: "Sequence[str | PathLike[str] | Image.Image]",
    *,
    output: str | None = None,
    device: str = "auto",
    offline: bool = False,
) -> "NDArray[np.float32]":
    """Return the features of some images, in their order.

    Parameters
    ----------
    backbone
        A name of the registry, an entry, or a loaded backbone.
    images
        Paths, or PIL images. They are decoded, cropped and normalised as in every run.
    output
        Output to read, as text: `cls`, `mean_patch`, `cls@-4,-3,-2,-1`, `grid`; by default that of
        the entry.

    Returns
    -------
    numpy.ndarray
        (N, D) float32, or (N, H, W, D) of a grid.

    Raises
    ------
    UnreadableImageError
        An image cannot be read; its name is in the message.
    """
    import numpy as np
    import torch

    from bob.backbones.backbone import Backbone
    from bob.specs import Output

    loaded = backbone
    if not isinstance(loaded, Backbone):
        loaded = load_backbone(loaded, device=device, offline=offline)
    wanted = loaded.spec.output if output is None else Output.model_validate(output)
    batches = []
    for start in range(0, len(images), EMBEDDED_TOGETHER):
        crops = [loaded.geometry.crop(_image(i)) for i in images[start : start + EMBEDDED_TOGETHER]]
        batches.append(loaded.embed(torch.stack(crops), [wanted])[wanted])
    if not batches:
        raise ConfigError("extract: there are no images.")
    return np.concatenate(batches)


def open_dataset(
    dataset: "str | PathLike[str]",
    *,
    test_split: str | None = None,
    offline: bool = False,
    registry: "Registry | None" = None,
) -> "Dataset":
    """Open a registered dataset by name, or your own folder or table by its path.

    `test_split` is the split of your own to test on, by its name or that of its folder.
    """
    from bob.datasets.open import open_dataset, spec_from_data_flag
    from bob.specs import DataOptions

    known = registry or load_registry()
    name = str(dataset)
    spec = known.datasets.get(name)
    if spec is None:
        spec = spec_from_data_flag(name, DataOptions(test_split=test_split))
    elif test_split is not None:
        raise ConfigError(f"test_split {test_split!r} is for your own images, not for {name!r}.")
    return open_dataset(spec, _cache(None), offline, known.datasets)


def leaderboard(
    results: "str | PathLike[str] | Sequence[str | PathLike[str]]" = RESULTS,
    *,
    form: Literal["tidy", "wide"] = "tidy",
    external: "Sequence[str | PathLike[str]]" = (),
    external_columns: Sequence[str] = (),
) -> "pd.DataFrame":
    """Return the leaderboard of one or several results folders.

    Parameters
    ----------
    form
        `tidy` has one row per score with its interval, backbone, cost and provenance, as
        leaderboard.csv; `wide` has one row per backbone and one column per task and dataset.
    external
        CSV tables of published results, shown beside your own.
    external_columns
        How to read columns of these tables, as `ROLE=COLUMN`; the roles are those of
        `--external-column`.
    """
    from bob.leaderboards import tidy, wide
    from bob.leaderboards.column_roles import parse_roles
    from bob.leaderboards.gather import gather
    from bob.leaderboards.render.score_table import ScoreTable

    folders = [results] if isinstance(results, str | PathLike) else list(results)
    gathered = gather(
        [Path(folder) for folder in folders],
        [Path(table) for table in external],
        parse_roles(external_columns),
    )
    if not gathered.records:
        raise ConfigError(f"{', '.join(map(str, folders))}: holds no records; call bob.run first.")
    board = gathered.board()
    return ScoreTable(tidy(board)) if form == "tidy" else wide(board)


def compare(
    a: str,
    b: str,
    *,
    results: "str | PathLike[str]" = RESULTS,
    tasks: Names | None = None,
    datasets: Names | None = None,
) -> "pd.DataFrame":
    """Compare two backbones by paired tests on the same examples.

    Returns
    -------
    pandas.DataFrame
        One row per task and dataset: both values, the difference a - b with its 95 % interval, p,
        p adjusted for the setting's pool (Holm), and the verdict. `attrs["overall"]` is the
        comparison over all settings.
    """
    import pandas as pd

    from bob.leaderboards.gather import gather_selection
    from bob.leaderboards.pairwise import compare_records
    from bob.leaderboards.render.comparison import comparison_rows, overall_row

    gathered, records = gather_selection(Path(results), _optional(tasks), _optional(datasets), ())
    comparison = compare_records(a, b, records, gathered.per_example)
    frame = pd.DataFrame(comparison_rows(comparison))
    frame.attrs["overall"] = overall_row(comparison)
    return frame


def recommend(
    *,
    results: "str | PathLike[str]" = RESULTS,
    tasks: Names | None = None,
    datasets: Names | None = None,
    **limits: Any,
) -> "Recommendation":
    """Recommend the best backbone within limits, from stored records.

    Parameters
    ----------
    limits
        Fields of `bob.leaderboards.limits.BackboneLimits`: max_params, max_gflops, max_width,
        max_peak_mib, min_images_per_s, licence, device, runtime.
    """
    from bob.leaderboards.advice import advise
    from bob.leaderboards.gather import gather_selection
    from bob.leaderboards.limits import BackboneLimits
    from bob.leaderboards.render.advice import advice_sentences

    gathered, records = gather_selection(Path(results), _optional(tasks), _optional(datasets), ())
    advice = advise(records, BackboneLimits(**limits), gathered.per_example)
    return Recommendation(
        backbone=advice.pick.backbone if advice.pick else None,
        tied=tuple(alternative.backbone for alternative in advice.tied),
        sentences=tuple(advice_sentences(advice)),
    )


@dataclass(frozen=True)
class Recommendation:
    """The best backbone within limits; printing it gives the reasons."""

    backbone: str | None
    """None where no backbone meets the limits."""
    tied: tuple[str, ...]
    """Backbones that are statistically tied with it."""
    sentences: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(self.sentences)


def load_registry(
    backbone_files: "Sequence[str | PathLike[str]]" = (),
    task_folders: "Sequence[str | PathLike[str]]" = (),
) -> "Registry":
    """Return the registered backbones, tasks and datasets as mappings from names to entries.

    `backbone_files` and `task_folders` add entries of your own.
    """
    from bob.registry import load_registry

    return load_registry([Path(file) for file in backbone_files], [Path(f) for f in task_folders])


def _joined(names: Names) -> str:
    return names if isinstance(names, str) else ",".join(names)


def _optional(names: Names | None) -> str | None:
    return None if names is None else _joined(names)


def _cache(cache: "str | PathLike[str] | None") -> Path:
    from bob.io.paths import default_cache

    return default_cache() if cache is None else Path(cache)


def _devices(device: str, precision: str) -> list[str]:
    from bob.backbones.devices import parse_devices

    return parse_devices(device, precision)


def _workers() -> int:
    from bob.extraction.passes import auto_workers

    return auto_workers()


def _spec(backbone: "str | BackboneSpec", registry: "Registry | None") -> "BackboneSpec":
    from bob.registry import backbone_labels, select

    if not isinstance(backbone, str):
        return backbone
    known = (registry or load_registry()).backbones
    (chosen,) = select(backbone, known, "backbone", backbone_labels)
    return chosen.spec


def _tasks(names: Names, registry: "Registry") -> "list[TaskSpec]":
    from bob.registry import select, task_labels

    return [chosen.spec for chosen in select(_joined(names), registry.tasks, "task", task_labels)]


def _datasets(
    names: Names | None,
    data: "str | PathLike[str] | Sequence[str | PathLike[str]]",
    tasks: "Sequence[TaskSpec]",
    registry: "Registry",
    options: "Sequence[DataOptions]",
) -> "Mapping[str, Sequence[Selected[DatasetSpec]]]":
    from bob.registry import choose_datasets

    paths = [data] if isinstance(data, str | PathLike) else list(data)
    own = [str(path) for path in paths]
    return choose_datasets(_optional(names), own, tasks, registry, options)


def _data_options(
    columns: Mapping[str, object],
    conditions: Mapping[str, Conditions | None],
    label: Names,
    retrieve: Names,
) -> "tuple[DataOptions, ...]":
    """Return the options of `data`, one for each column of classes and each column to retrieve."""
    from bob.specs import options_per_column

    admitted = {
        split: {
            name: (values,) if isinstance(values, str) else tuple(values)
            for name, values in (of_split or {}).items()
        }
        for split, of_split in conditions.items()
    }
    return options_per_column({**columns, **admitted}, _listed(label), _listed(retrieve))


def _listed(names: Names) -> list[str]:
    return [name for name in _joined(names).split(",") if name]


def _scores(results: "str | PathLike[str]", keys: set[str]) -> "pd.DataFrame":
    from bob.leaderboards import tidy
    from bob.leaderboards.gather import gather
    from bob.leaderboards.render.score_table import ScoreTable

    return ScoreTable(tidy(gather([Path(results)]).with_keys(keys).board()))


def _image(image: "str | PathLike[str] | Image.Image") -> "Image.Image":
    from bob.datasets.content.images import decode, upright_rgb
    from bob.errors import UnreadableImageError

    if not isinstance(image, str | PathLike):
        return upright_rgb(image, getattr(image, "filename", "") or "in memory")
    try:
        return decode(Path(image).read_bytes(), str(image))
    except OSError as error:
        reason = error.strerror or error
        raise UnreadableImageError(f"{image}: cannot be read ({reason}).") from error


__all__ = [
    "BobError",
    "Recommendation",
    "compare",
    "evaluate",
    "extract",
    "leaderboard",
    "load_backbone",
    "load_registry",
    "open_dataset",
    "recommend",
    "run",
]
