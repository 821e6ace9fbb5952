"""How threads of OpenMP wait for each other."""

from collections.abc import MutableMapping

WAIT_POLICY = {"OMP_WAIT_POLICY": "PASSIVE"}
"""OpenMP's threads sleep while they wait. By default they spin, and take the processor from each
other and from other programs: on a busy machine forward passes and probes then take 3 to 8 times as
long, on an idle one they gain little (benchmarks/waiting.py)."""
WAIT_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def wait_passively(environment: MutableMapping[str, str]) -> None:
    """Let idle threads sleep, unless the environment says how they wait.

    The OpenMP runtime reads it when it is loaded, with PyTorch.
    """
    if not any(name in environment for name in WAIT_VARIABLES):
        environment.update(WAIT_POLICY)
