"""bob-bench: which pretrained vision backbone should I use?

    import bob

    scores = bob.run("family:ssl", "linear,knn", data="photos/")
    print(bob.recommend(max_params=30_000_000))

The functions are documented in `bob.api`; they are loaded when they are first used.
"""

import os
import sys
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from bob.api import (
        BobError,
        Recommendation,
        compare,
        evaluate,
        extract,
        leaderboard,
        load_backbone,
        load_registry,
        open_dataset,
        recommend,
        run,
    )

__all__ = [
    "BobError",
    "Recommendation",
    "__version__",
    "compare",
    "evaluate",
    "extract",
    "leaderboard",
    "load_backbone",
    "load_registry",
    "open_dataset",
    "recommend",
    "run",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from bob import api
        from bob.io.waiting import wait_passively

        if "torch" not in sys.modules:  # else OpenMP has read it
            wait_passively(os.environ)

        return getattr(api, name)
    raise AttributeError(f"module 'bob' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
