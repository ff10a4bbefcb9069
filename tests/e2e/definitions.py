"""The definitions of the controllers' kinds, as tests/e2e/tools/crds.txt pins them."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.e2e.binaries import folder
from tests.e2e.objects import Manifest, Objects

TABLE = Path(__file__).parent / "tools" / "crds.txt"


@dataclass(frozen=True)
class Definition:
    """A file of a Go module."""

    module: str
    version: str
    file: str


def definitions() -> list[Definition]:
    """Return what the table names."""
    lines = [line.split() for line in TABLE.read_text().splitlines() if not line.startswith("#")]
    return [Definition(module, version, Path(file).name) for module, version, _, file in lines]


def read() -> list[Manifest]:
    """Return the definitions, as long as `make e2e-needs` could get them; else none."""
    found = folder("crds")
    if not found.is_dir():
        return []
    # The C loader: these are megabytes.
    return [
        yaml.load((found / one.file).read_text(), Loader=yaml.CSafeLoader) for one in definitions()
    ]


def define(objects: Objects, manifests: list[Manifest]) -> None:
    """Give *manifests* to the server, and return once it knows their kinds."""
    for one in manifests:
        objects.apply(one)
    for one in manifests:
        spec = one["spec"]
        for version in spec["versions"]:
            if version["served"]:
                objects.wait_for_kind(f"{spec['group']}/{version['name']}", spec["names"]["kind"])
