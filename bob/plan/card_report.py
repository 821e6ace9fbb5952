"""Cards of backbones as processes exchange them."""

from typing import Literal

from bob.backbones.card_data import Card
from bob.errors import BackboneError, BobError, ConfigError, OutputError, UnavailableError
from bob.specs import BackboneSpec
from bob.specs.yaml import Closed


class CardReport(Closed):
    """The card of a backbone, or why there is none, as plain data for other processes."""

    spec: BackboneSpec
    made: Card | None = None
    error: Literal["BackboneError", "OutputError", "UnavailableError", "ConfigError"] | None = None
    message: str = ""

    def result(self) -> Card | BobError:
        """Return the card, or the error that says why there is none."""
        if self.made is not None:
            return self.made
        errors = (BackboneError, OutputError, UnavailableError, ConfigError)
        kinds = {kind.__name__: kind for kind in errors}
        return kinds[self.error or "BackboneError"](self.message)
