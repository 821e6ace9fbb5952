"""Numbers as registries write them."""

from typing import Annotated

from pydantic import Field

Count = Annotated[int, Field(ge=1)]
"""A whole number of at least 1."""
