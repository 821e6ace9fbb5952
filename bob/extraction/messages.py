"""Messages on images that a pass could not use."""

from collections.abc import Sequence

SHOWN_IMAGES = 5


def bad_images_message(reasons: Sequence[str]) -> str:
    """Return one message for all images that could not be read."""
    them = "it" if len(reasons) == 1 else "them"
    return (
        f"{_count(reasons)} cannot be used:{_listed(reasons)}\n"
        f"  Repair or remove {them}, or leave {them} out with --skip-bad-images."
    )


def changed_images_message(reasons: Sequence[str]) -> str:
    """Return one message for all images whose content has changed since the plan was made."""
    verb = "was" if len(reasons) == 1 else "were"
    return f"{_count(reasons)} {verb} changed during the run:{_listed(reasons)}"


def _count(reasons: Sequence[str]) -> str:
    return f"{len(reasons)} image{'s' if len(reasons) > 1 else ''}"


def _listed(reasons: Sequence[str]) -> str:
    shown = "".join(f"\n  {reason}" for reason in reasons[:SHOWN_IMAGES])
    rest = len(reasons) - SHOWN_IMAGES
    return shown + (f"\n  and {rest} more" if rest > 0 else "")
