"""Protocols: pure functions from features and labels to outcomes."""

from collections.abc import Callable
from typing import Any

from bob.protocols import knn, linear
from bob.protocols.protocol import Problem, Result

PROTOCOLS: dict[str, Callable[[Problem, Any, str], Result]] = {"linear": linear.linear, "knn": knn.knn}
"""Name in a task file → the function that turns a problem, that protocol's settings and a device into a result."""
