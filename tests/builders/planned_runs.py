"""Plans that are carried out without a terminal."""

from collections.abc import Sequence

from bob.engine.conductor import conduct
from bob.engine.engine import SilentEngineListener
from bob.engine.local import LocalEngine
from bob.plan import Plan, Workspace


class Silent(SilentEngineListener):
    """A listener that counts passes, and images embedded."""

    def __init__(self) -> None:
        self.passes: list[tuple[str, str, list[str]]] = []
        self.images = 0

    def pass_begins(self, dataset: str, split: str, images: int, backbones: Sequence[str]) -> None:
        self.passes.append((dataset, split, list(backbones)))

    def forwarded(self, backbone: str, images: int, seconds: float) -> None:
        self.images += images


def run(plan: Plan, workspace: Workspace) -> Silent:
    """Carry out a plan and return what was counted."""
    listener = Silent()
    list(conduct(plan, workspace, LocalEngine(workspace), listener))
    return listener
