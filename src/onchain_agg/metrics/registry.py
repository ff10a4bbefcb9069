"""The data sets this package knows: one file each, found by name."""

import pkgutil
from functools import cache
from graphlib import CycleError, TopologicalSorter

from onchain_agg import metrics
from onchain_agg.discovery import defined_in, named
from onchain_agg.errors import DataSetError
from onchain_agg.metrics.dataset import SERVING, DataSet


@cache
def all_datasets() -> dict[str, DataSet]:
    """Return every data set by name, each after those that it reads.

    Raises:
        DataSetError: A data set reads the table of one that does not exist, or they read each
            other.
    """
    found: dict[str, DataSet] = {}
    for family in pkgutil.iter_modules(metrics.__path__):
        if family.ispkg:
            for dataset in defined_in(f"{metrics.__name__}.{family.name}", "DATASET"):
                found[dataset.name] = dataset
    return {name: found[name] for name in _order(found)}


def dataset_named(name: str) -> DataSet:
    """Return the data set of that name.

    Raises:
        UnknownNameError: No such data set; the message lists the ones that exist.
    """
    return named("data set", name, all_datasets())


def _order(found: dict[str, DataSet]) -> list[str]:
    by_table = {dataset.table: name for name, dataset in found.items()}
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for name, dataset in found.items():
        served = [table for table in dataset.reads if table.metadata is SERVING]
        unknown = [table.name for table in served if table not in by_table]
        if unknown:
            raise DataSetError(f"{name}: it reads {', '.join(unknown)}, which no data set makes.")
        sorter.add(name, *(by_table[table] for table in served))
    try:
        return list(sorter.static_order())
    except CycleError as error:
        raise DataSetError(f"Data sets read each other: {' -> '.join(error.args[1])}.") from error
