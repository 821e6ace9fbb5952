"""Whether the Hugging Face hub can be reached, asked once per process: the hub's own client tries for half a minute per file before it gives up."""

import os
import urllib.error
import urllib.request
from functools import lru_cache

PATIENCE_SECONDS = 10.0


def hub_reachable() -> bool:
    """Whether the hub, or the mirror that HF_ENDPOINT names, answers; False where HF_HUB_OFFLINE forbids to ask."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        return False
    return _answers(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")


@lru_cache
def _answers(endpoint: str) -> bool:
    """Any answer counts, a refusal too."""
    try:
        with urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=PATIENCE_SECONDS):
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
