"""Settings of image-text retrieval."""

from pydantic import Field, model_validator

from bob.specs.numbers import Count
from bob.specs.yaml import Closed


class ImageTextSettings(Closed):
    """Settings of image-text retrieval; see `bob.protocols.image_text`."""

    k: tuple[Count, ...] = Field(strict=False, min_length=1)
    """Lengths of shortlists; the first ranks."""

    @model_validator(mode="after")
    def _ascends(self) -> "ImageTextSettings":
        if list(self.k) != sorted(set(self.k)):
            raise ValueError(f"k must ascend; got {list(self.k)!r}")
        return self
