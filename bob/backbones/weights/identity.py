"""Whether an entry's identifiers exist in its library's own lists, and say the same: told without weights and without a network."""

from collections.abc import Callable, Mapping

from bob.backbones.weights.locate import repository_of
from bob.errors import BobError, nearest
from bob.specs import BackboneSpec
from bob.specs.backbone import OWN_REPOSITORY


def id_problems(spec: BackboneSpec) -> list[str]:
    """What is wrong with the architecture's and the weights' names, in words."""
    if spec.architecture.startswith(OWN_REPOSITORY):
        return []
    check = _CHECKS.get(spec.loader)
    return check(spec) if check else []


def _timm(spec: BackboneSpec) -> list[str]:
    """A name with a tag is one of timm's pretrained models, whose repository timm knows."""
    import timm
    from timm.models import get_pretrained_cfg

    if "." not in spec.architecture:
        near = nearest(spec.architecture, timm.list_models())
        return (
            []
            if timm.is_model(spec.architecture)
            else [f"timm has no architecture {spec.architecture!r}{near}"]
        )
    known = timm.list_pretrained()
    if spec.architecture not in known:
        return [
            f"timm has no pretrained model {spec.architecture!r}{nearest(spec.architecture, known)}"
        ]
    theirs = get_pretrained_cfg(spec.architecture).hf_hub_id
    stated = spec.weights.hub if spec.weights else None
    return (
        []
        if stated in (None, theirs)
        else [f"timm has {spec.architecture!r} in {theirs!r}, not in weights.hub {stated!r}"]
    )


def _open_clip(spec: BackboneSpec) -> list[str]:
    """The architecture is one of open_clip's, the tag one of the architecture's, and its repository the one stated."""
    import open_clip

    known = open_clip.list_models()
    if spec.architecture not in known:
        return [
            f"open_clip has no architecture {spec.architecture!r}{nearest(spec.architecture, known)}"
        ]
    try:
        repository_of(spec)
    except BobError as error:
        return [str(error)]
    return []


_CHECKS: Mapping[str, Callable[[BackboneSpec], list[str]]] = {
    "timm": _timm,
    "open_clip": _open_clip,
}
"""By loader. Where one is missing, building the outline is the check."""
