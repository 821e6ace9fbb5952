"""Settings of zero-shot classification."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bob.specs.yaml import Closed


class ZeroshotSettings(Closed):
    """Settings of zero-shot classification; see `bob.protocols.zeroshot`."""

    templates: (
        Literal["openai", "simple"] | Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
    )
    """OpenAI's 80 ImageNet prompts or its subset of 7, as open_clip ships them; or one's own, with {} for the class name."""
    logit_scale: Annotated[float, Field(gt=0)]
    """What cosines are multiplied with before the softmax. Accuracy does not depend on it."""

    @model_validator(mode="after")
    def _templates_have_a_place_for_the_name(self) -> "ZeroshotSettings":
        if wrong := [
            template
            for template in self.templates
            if not isinstance(self.templates, str) and template.count("{}") != 1
        ]:
            raise ValueError(
                f"each of templates must hold {{}} once, for the class name; got {wrong[0]!r}"
            )
        return self
