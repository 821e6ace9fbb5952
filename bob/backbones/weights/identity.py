"""Checks of an entry's identifiers against its library's own lists, offline and without weights."""

from collections.abc import Callable, Mapping

from bob.backbones.weights.locate import repository_of
from bob.errors import BobError, nearest
from bob.specs import BackboneSpec
from bob.specs.backbone import HUB_PREFIX


def id_problems(spec: BackboneSpec) -> list[str]:
    """Return what is wrong with the names of the architecture and of the weights, as text."""
    if spec.architecture.startswith(HUB_PREFIX):
        return []
    check = _CHECKS.get(spec.loader)
    return check(spec) if check else []


def _timm(spec: BackboneSpec) -> list[str]:
    """Check that timm has the architecture or, for a name with a tag, the model and repository."""
    import timm
    from timm.models import get_pretrained_cfg

    if "." not in spec.architecture:
        if timm.is_model(spec.architecture):
            return []
        suggestion = nearest(spec.architecture, timm.list_models())
        return [f"timm has no architecture {spec.architecture!r}{suggestion}"]
    models = timm.list_pretrained()
    if spec.architecture not in models:
        suggestion = nearest(spec.architecture, models)
        return [f"timm has no pretrained model {spec.architecture!r}{suggestion}"]
    repository = get_pretrained_cfg(spec.architecture).hf_hub_id
    stated = spec.weights.hub if spec.weights else None
    if stated in (None, repository):
        return []
    return [f"timm has {spec.architecture!r} in {repository!r}, not in weights.hub {stated!r}"]


def _open_clip(spec: BackboneSpec) -> list[str]:
    """Check that open_clip has the architecture, its tag, and the tag in the stated repository."""
    import open_clip

    models = open_clip.list_models()
    if spec.architecture not in models:
        suggestion = nearest(spec.architecture, models)
        return [f"open_clip has no architecture {spec.architecture!r}{suggestion}"]
    try:
        repository_of(spec)
    except BobError as error:
        return [str(error)]
    return []


_CHECKS: Mapping[str, Callable[[BackboneSpec], list[str]]] = {
    "timm": _timm,
    "open_clip": _open_clip,
}
"""By loader. For the other loaders, building the model outline is the check."""
