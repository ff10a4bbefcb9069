"""Finds definitions that are one file each, and looks one up by its name.

Knows neither what is defined nor where: the packages of chains, venues and data sets call it.
"""

import pkgutil
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, TypeVar

from onchain_agg.errors import UnknownNameError

T = TypeVar("T")

# The one module of such a package that says what a definition is, and holds none.
_FORM = "definition"


def defined_in(package: str, constant: str) -> Iterator[Any]:
    """Yield the *constant* of each module of the *package*, in the order of the modules' names.

    The module ``definition`` is passed over. It imports every other one, so it is called when the
    definitions are asked for, not while the package itself is imported.

    Raises:
        AttributeError: A module without the constant.
    """
    modules = pkgutil.iter_modules(import_module(package).__path__)
    for name in sorted(module.name for module in modules if module.name != _FORM):
        yield getattr(import_module(f"{package}.{name}"), constant)


def named(kind: str, name: str, known: Mapping[str, T]) -> T:
    """Return the one of the *known* definitions that has the *name*; *kind* is for the message.

    Raises:
        UnknownNameError: No such definition; the message lists the ones that exist.
    """
    try:
        return known[name]
    except KeyError:
        raise UnknownNameError(kind, name, known) from None
