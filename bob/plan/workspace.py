"""What one process knows of backbones and datasets: opened once, shared by planning and working."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from bob.backbones.card_data import Card
from bob.datasets.conflicts import unreadable_reasons
from bob.datasets.dataset import Dataset, Split
from bob.datasets.image_sets import ImageSet
from bob.datasets.open import ReadDatasets, limited, open_dataset
from bob.datasets.report import data_report
from bob.errors import (
    BackboneError,
    BobError,
    ConfigError,
    NotApplicableError,
    OutputError,
    UnavailableError,
    UnreadableImageError,
)
from bob.extraction.accumulators import Accumulator, Earlier
from bob.extraction.messages import bad_images_message
from bob.features.key import FeatureKey, StoreKey
from bob.plan.card_report import CardReport
from bob.plan.keys import feature_key, text_key
from bob.plan.request import Machine, Places, RunSettings
from bob.protocols import (
    FeatureNeed,
    Need,
    Needs,
    StatisticsNeed,
    TextNeed,
    needs_of_task,
    protocol_named,
)
from bob.records.data_report import DataReport
from bob.specs import BackboneSpec, DatasetSpec, TaskSpec

LIMIT_SEED = 0


class Workspace:
    """Cards of backbones, opened datasets, and the keys that follow from both.

    Everything here can be made again from a plan's specs: a workspace holds what is expensive to
    make, and nothing that another process would have to be told.
    """

    def __init__(
        self,
        places: Places,
        settings: RunSettings,
        machine: Machine,
        datasets: Mapping[str, DatasetSpec],
    ) -> None:
        """Prepare to open `datasets`, among them those that others refer to in their shifts."""
        self.places, self.settings, self.machine = places, settings, machine
        self.specs = dict(datasets)
        self.card_source: Callable[[Sequence[BackboneSpec]], Iterable[CardReport]] | None = None
        """Makes cards where the devices are; None makes them in this process."""
        self.report_check: Callable[[str], None] | None = None
        """Receives the name of a backbone before it is checked in this process."""
        self._cards: dict[BackboneSpec, Card | BobError] = {}
        self._datasets: dict[str, Dataset] = {}
        self._full: dict[str, Dataset] = {}
        self._read: ReadDatasets = {}
        self._reports: dict[str, DataReport] = {}
        self._splits: dict[tuple[str, ImageSet], Split] = {}
        self._keys: dict[tuple[str, Need], StoreKey] = {}
        self._feature_keys: dict[tuple[str, BackboneSpec, ImageSet], FeatureKey] = {}
        self._unreadable: dict[tuple[str, ImageSet], str] = {}
        """Why a set of images cannot be embedded; empty where every header can be read."""

    def card(self, spec: BackboneSpec) -> Card:
        """Return the card of a backbone with the requested preprocessing.

        BackboneError where it does not work, UnavailableError where its weights are not here.
        """
        if spec not in self._cards:
            if self.card_source:
                self.add_cards(self.card_source([spec]))
            else:
                if self.report_check:
                    self.report_check(spec.name)
                try:
                    self._cards[spec] = self._make_card(spec)
                except BackboneError as error:
                    self._cards[spec] = error
        made = self._cards[spec]
        if isinstance(made, BobError):
            raise made
        return made

    def card_report(self, spec: BackboneSpec) -> CardReport:
        """Return the card of a backbone, or why there is none."""
        try:
            return CardReport(spec=spec, made=self.card(spec))
        except (BackboneError, UnavailableError, ConfigError) as error:
            kind = type(error).__name__
            return CardReport.model_validate({"spec": spec, "error": kind, "message": str(error)})

    def add_cards(self, reports: Iterable[CardReport]) -> None:
        """Take cards that were made elsewhere."""
        for report in reports:
            self._cards[report.spec] = report.result()

    def cards_of(self, names: Collection[str]) -> tuple[CardReport, ...]:
        """Return the cards that are known of some backbones and of their variants."""
        return tuple(
            CardReport(spec=spec, made=made)
            for spec, made in self._cards.items()
            if spec.name in names and isinstance(made, Card)
        )

    def _make_card(self, spec: BackboneSpec) -> Card:
        from bob.backbones.card import card  # PyTorch is where backbones are

        made = card(
            spec,
            self.places.cache,
            self.machine.device,
            self.settings.precision,
            offline=self.machine.offline,
        )
        if self.settings.preprocessing == "fast":
            return made.model_copy(update={"geometry": made.geometry | {"preprocessing": "fast"}})
        return made

    def add_datasets(self, specs: Mapping[str, DatasetSpec]) -> None:
        """Make further datasets available; one of the same name and another spec is replaced."""
        for name, spec in specs.items():
            if self.specs.get(name) != spec:
                self._datasets.pop(name, None)
                self._reports.pop(name, None)
                self._splits = {key: s for key, s in self._splits.items() if key[0] != name}
                self._keys = {key: k for key, k in self._keys.items() if key[0] != name}
                self._feature_keys = {
                    key: k for key, k in self._feature_keys.items() if key[0] != name
                }
                self._unreadable.clear()
            self.specs[name] = spec

    def dataset(self, name: str) -> Dataset:
        """Open a dataset, cut to the limit where there is one."""
        if name not in self._datasets:
            if name not in self.specs:
                raise UnavailableError(f"dataset {name!r} is not among those of the plan.")
            dataset = open_dataset(
                self.specs[name],
                self.places.cache,
                self.machine.offline,
                self.specs,
                self.settings.alpha,
                self._read,
            )
            self._full[name] = dataset
            if self.settings.limit:
                dataset = limited(dataset, self.settings.limit, LIMIT_SEED)
            self._datasets[name] = dataset
        return self._datasets[name]

    def report(self, name: str) -> DataReport:
        """Return the report on a dataset before it is cut to a limit."""
        if name not in self._reports:
            self.dataset(name)
            self._reports[name] = data_report(self._full[name], self.specs[name])
        return self._reports[name]

    def images(self, dataset: str, images: ImageSet) -> Split:
        """Open a set of images of a dataset."""
        if (dataset, images) not in self._splits:
            self._splits[dataset, images] = images.open(self.dataset(dataset))
        return self._splits[dataset, images]

    def full_split(self, dataset: str, images: ImageSet) -> tuple[str, Split]:
        """Return the name and the images of the split whose features are stored for a set."""
        name, split = self.images(dataset, images).full
        return name or images.name, split

    def needs(self, task: TaskSpec, dataset: str, backbone: BackboneSpec) -> Needs:
        """Return what a cell needs, without optional variants that the backbone refuses.

        NotApplicableError where the task does not apply to the dataset or the backbone.
        """
        needs = needs_of_task(task, self.dataset(dataset), backbone)
        try:
            available = [need for need in needs if self._is_available(need)]
            for need in available:
                self._require_fitting(dataset, need)
            return available
        except NotApplicableError as error:
            raise NotApplicableError(f"task {task.name!r}: {error}", subject="backbone") from error

    def require_readable(self, dataset: str, needs: Needs) -> None:
        """Raise UnreadableImageError where headers say that images of a cell cannot be decoded.

        A run then ends before hours of embedding; damage behind a header shows in the pass.
        """
        of_images = [need.images.whole for need in needs if not isinstance(need, TextNeed)]
        reasons = [self._unreadable_reason(dataset, images) for images in dict.fromkeys(of_images)]
        if any(reasons):
            raise UnreadableImageError("\n".join(filter(None, reasons)))

    def _unreadable_reason(self, dataset: str, images: ImageSet) -> str:
        if (dataset, images) not in self._unreadable:
            reasons = unreadable_reasons(self.images(dataset, images))
            where = f"dataset {dataset!r}, {images.name}"
            self._unreadable[dataset, images] = (
                f"{where}: {bad_images_message(list(reasons.values()))}" if reasons else ""
            )
        return self._unreadable[dataset, images]

    def _is_available(self, need: Need) -> bool:
        """Whether the backbone accepts a variant; raises where the task cannot do without it."""
        try:
            self.card(need.backbone)
        except OutputError as error:
            if not need.optional:
                raise NotApplicableError(str(error), subject="backbone") from error
            return False
        except BackboneError:
            if not need.optional:
                raise
            return False
        return True

    def _require_fitting(self, dataset: str, need: Need) -> None:
        """Raise NotApplicableError where features take more than the task allows."""
        if isinstance(need, FeatureNeed) and need.max_bytes is not None:
            key = self.feature_key(dataset, need.backbone, need.images)
            if key.bytes() > need.max_bytes:
                raise NotApplicableError(
                    f"stores at most {need.max_bytes / 2**30:.3g} GiB of features of a set of "
                    f"images; backbone {need.backbone.name!r} has {key.bytes() / 2**30:.3g} GiB of "
                    f"{need.images.name} of dataset {dataset!r}: {key.count} images of shape "
                    f"{key.shape}. Allow more, or set --limit or a smaller input.",
                    subject="backbone",
                )

    def key(self, dataset: str, need: Need) -> StoreKey:
        """Return the key of the stored features (or statistics) that a need reads."""
        if (dataset, need) not in self._keys:
            self._keys[dataset, need] = self._make_key(dataset, need)
        return self._keys[dataset, need]

    def _make_key(self, dataset: str, need: Need) -> StoreKey:
        if isinstance(need, TextNeed):
            return text_key(self.card(need.backbone), need.texts, self.settings.stored)
        features = self.feature_key(dataset, need.backbone, need.images)
        if isinstance(need, FeatureNeed):
            return features
        targets = self.images(dataset, need.images).fingerprint
        after = tuple(self.key(dataset, earlier).digest() for earlier in need.after)
        return need.accumulator.key(features, targets, after)

    def feature_key(self, dataset: str, backbone: BackboneSpec, images: ImageSet) -> FeatureKey:
        """Return the key of the features of a set of images, which are those of its full split."""
        place = dataset, backbone, images
        if place not in self._feature_keys:
            name, split = self.full_split(dataset, images)
            self._feature_keys[place] = feature_key(
                self.card(backbone), backbone.output, name, split, self.settings.stored
            )
        return self._feature_keys[place]

    def accumulator(
        self, dataset: str, need: StatisticsNeed, earlier: Earlier | None = None
    ) -> Accumulator:
        """Make the accumulator of a need; `earlier` returns the statistics on which it depends."""
        return need.accumulator.create(self.images(dataset, need.images), earlier)

    def seeds(self, task: TaskSpec, dataset: str) -> tuple[int, ...]:
        """Return the seeds of a cell: one where the result does not depend on it."""
        protocol = protocol_named(task.protocol)
        uses_seed = protocol.uses_seed(task.settings, self.dataset(dataset))
        return self.settings.seeds if uses_seed else self.settings.seeds[:1]
