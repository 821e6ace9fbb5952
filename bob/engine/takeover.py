"""Removal of the leases of a process that has ended, before they become stale by themselves."""

from collections.abc import Mapping
from typing import Any

from bob.engine.units import Unit
from bob.io.leases import remove_leases
from bob.plan import Places


def release_leases(unit: Unit, process: Mapping[str, Any], places: Places) -> None:
    """Remove the leases under which a process that is gone did a unit.

    `process` identifies it as `bob.io.processes.this_process` did there.
    """
    store, records = places.features(), places.records()
    for digest in unit.provides:
        remove_leases(store.folder_of(digest), process)
    for dataset, backbone in {(cell.dataset, cell.backbone) for cell in unit.plan.cells}:
        path = records.lease_path(dataset, backbone)
        remove_leases(path.parent, process, path.name)
