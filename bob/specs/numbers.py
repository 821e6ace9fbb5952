"""Number types of the specs."""

from typing import Annotated

from pydantic import Field

Count = Annotated[int, Field(ge=1)]
"""An integer of at least 1."""
