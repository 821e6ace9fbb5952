"""The preprocessing grid: the same classifiers on the same images, fed to the same backbone at other sizes and with other normalisations.

After Corley et al. 2023 (arXiv:2305.13456), who find that an ImageNet ResNet-50 moves from 65.6 % to 91.2 % on EuroSAT (RGB) between the worst and
the best size and normalisation: k-NN, k = 5, Euclidean distance of raw features. Here also with cosine, and the linear probe.

Differs in these points:
- the reference of every row is the backbone's own preprocessing, and gains over it are paired image by image;
- the crop (its share and mode) and the interpolation stay the backbone's own, where the paper squashes the whole image to the size;
- nothing is chosen among the settings: that would be a choice on test. The headline is the backbone's own.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from bob.outcomes import Classified, Varied
from bob.protocols.knn import knn
from bob.protocols.linear import linear
from bob.protocols.protocol import Part, Problem, Result
from bob.specs.settings import KnnSettings, ResizeNormaliseSettings


@dataclass(frozen=True, eq=False)
class Setting:
    """A backbone's features at one size and normalisation, or why there are none."""

    input_px: int | str
    """`own` is the backbone's."""
    normalisation: str
    problem: Problem | None
    undefined: str | None = None


def resize_normalise(
    settings: ResizeNormaliseSettings, grid: Iterable[Setting], device: str
) -> Result:
    """`grid` begins with the backbone's own setting."""
    parts: list[Part] = []
    own: dict[str, Classified] = {}
    for setting in grid:
        answers = (
            _answers(settings, setting.problem, device) if setting.problem else dict.fromkeys(own)
        )
        own = own or {head: outcome for head, outcome in answers.items() if outcome is not None}
        parts += [
            part
            for head, outcome in answers.items()
            for part in _rows(head, outcome, own[head], setting)
        ]
    return Result(
        (Part(parts[0].outcome), *parts), {"settings": len({part.suffix for part in parts})}
    )


def _answers(
    settings: ResizeNormaliseSettings, problem: Problem, device: str
) -> dict[str, Classified | None]:
    """Head → its outcome."""
    votes = {
        f"knn_{metric}": knn(
            problem, KnnSettings(k=(settings.k,), metric=metric, vote="majority"), device
        ).outcome
        for metric in ("euclidean", "cosine")
    }
    return (
        votes
        if settings.probe is None
        else {**votes, "linear": linear(problem, settings.probe, device).outcome}
    )


def _rows(head: str, outcome: Classified | None, own: Classified, setting: Setting) -> list[Part]:
    """Accuracy at a setting, and what it gains over the backbone's own."""
    size = setting.input_px if isinstance(setting.input_px, str) else f"{setting.input_px}px"
    suffix = f"{head}_{size}_{setting.normalisation}"
    facets = {"head": head, "input_px": setting.input_px, "normalisation": setting.normalisation}
    gain = None if outcome is None else Varied(own.rank == 0, outcome.rank == 0)
    return [
        Part(outcome, suffix, ("top1",), facets, undefined=setting.undefined),
        *(
            []
            if outcome is own
            else [Part(gain, suffix, ("top1_gain",), facets, undefined=setting.undefined)]
        ),
    ]
