"""YAML with the line of every value, so that an error can name it."""

from pathlib import Path
from typing import Any

import yaml

from onchain_agg.errors import ConfigError

# From the document's root to a value: keys of mappings, positions in lists.
Place = tuple[str | int, ...]

# libyaml is five times as fast, and every DAG file's parse reads the table.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(file: Path) -> tuple[Any, dict[Place, int]]:
    """Return what *file* says, and the line (from 1) on which each of its values begins.

    Raises:
        ConfigError: It cannot be read, is no YAML, or gives a key twice; names file and line.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{file} cannot be read: {error}. Correct the path or the file."
        ) from None
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None, {}
        lines: dict[Place, int] = {}
        _note(file, root, (), lines)
        return loader.construct_document(root), lines
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(
            f"{file}{line}: this is not YAML: {getattr(error, 'problem', error)}."
        ) from None
    finally:
        loader.dispose()


def _note(file: Path, node: yaml.Node, place: Place, lines: dict[Place, int]) -> None:
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for position, child in enumerate(node.value):
            _note(file, child, (*place, position), lines)
    if isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            below, line = (*place, str(key.value)), key.start_mark.line + 1
            if below in lines:
                raise ConfigError(
                    f"{file}, line {line}: {shown(below)} has an entry already, on line "
                    f"{lines[below]}. Keep one of the two."
                )
            lines[below] = line
            _note(file, child, below, lines)


def shown(place: Place) -> str:
    """Return *place* as text, such as ``workloads.nft_worker.retries``."""
    return ".".join(map(str, place)) or "the document"
