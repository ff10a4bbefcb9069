"""The data sets this package knows: one file each, found by name."""

import pkgutil
from functools import cache
from importlib import import_module

from onchain_agg import metrics
from onchain_agg.errors import UnknownNameError
from onchain_agg.metrics.dataset import DataSet


@cache
def all_datasets() -> dict[str, DataSet]:
    """Return every data set by name."""
    found: dict[str, DataSet] = {}
    for family in pkgutil.iter_modules(metrics.__path__):
        if family.ispkg:
            package = import_module(f"{metrics.__name__}.{family.name}")
            for module in pkgutil.iter_modules(package.__path__):
                dataset = import_module(f"{package.__name__}.{module.name}").DATASET
                found[dataset.name] = dataset
    return found


def dataset_named(name: str) -> DataSet:
    """Return the data set of that name.

    Raises:
        UnknownNameError: No such data set; the message lists the ones that exist.
    """
    try:
        return all_datasets()[name]
    except KeyError:
        raise UnknownNameError("data set", name, all_datasets()) from None
