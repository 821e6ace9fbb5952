"""Settings of the protocols on shifted and foreign test sets; both fit the linear probe."""

from bob.specs.numbers import Count
from bob.specs.settings.linear import LinearSettings


class OodSettings(LinearSettings):
    """Settings of OOD generalisation; see `bob.protocols.ood`."""


class OodDetectionSettings(LinearSettings):
    """Settings of OOD detection; see `bob.protocols.detection`."""

    k: Count
    """Of the k-NN score: the distance to the k-th nearest train row."""
