"""Prompts: sentences that say a class's name to a text tower.

The templates are open_clip's copies of OpenAI's (CLIP, Radford et al. 2021, arXiv:2103.00020, notebook Prompt_Engineering_for_ImageNet): the 80 for
ImageNet and the 7 that its authors found to do nearly as well. For classes named by WordNet ids of ImageNet, open_clip's class names are said, which
are OpenAI's curated ones; any other class by its own name, with blanks for underscores.
"""

import re
from collections.abc import Sequence
from typing import Literal

from bob.errors import DatasetError

WORDNET_ID = re.compile(r"n\d{8}( \(\d+\))?")
Templates = Literal["openai", "simple"] | tuple[str, ...]


def templates_of(chosen: Templates) -> list[str]:
    """Sentences with {} for the class name."""
    from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES, SIMPLE_IMAGENET_TEMPLATES

    if isinstance(chosen, tuple):
        return list(chosen)
    known = OPENAI_IMAGENET_TEMPLATES if chosen == "openai" else SIMPLE_IMAGENET_TEMPLATES
    return [template("{}") for template in known]


def spoken(classes: Sequence[str], wordnet_ids: Sequence[str]) -> list[str]:
    """What each class is called in a sentence. `wordnet_ids` are ImageNet's 1,000 in the order of its labels."""
    from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES

    if not classes or not all(WORDNET_ID.fullmatch(name) for name in classes):
        return [name.replace("_", " ") for name in classes]
    place = {name: c for c, name in enumerate(wordnet_ids)}
    if strange := [name for name in classes if name[:9] not in place]:
        raise DatasetError(
            f"the class {strange[0]!r} is a WordNet id that is not one of ImageNet's {len(place)}: give class names that can be said."
        )
    return [IMAGENET_CLASSNAMES[place[name[:9]]] for name in classes]


def prompts(names: Sequence[str], templates: Sequence[str]) -> tuple[str, ...]:
    """C · T sentences, all of one class together."""
    return tuple(template.replace("{}", name) for name in names for template in templates)
