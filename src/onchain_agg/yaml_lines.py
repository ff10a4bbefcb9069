"""YAML with the line of every value, so that an error can name it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from onchain_agg.errors import ConfigError, did_you_mean

# From the document's root to a value: keys of mappings, positions in lists.
Place = tuple[str | int, ...]

_Model = TypeVar("_Model", bound=BaseModel)

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


class FieldError(ValueError):
    """A validator's error about a value inside of the field that it validates."""

    def __init__(self, text: str, place: Place) -> None:
        """Take what is wrong, and the *place* below the field."""
        super().__init__(text)
        self.place = place


@dataclass(frozen=True)
class Blame:
    """Finds the file and line to blame for a value.

    Attributes:
        file: The file to blame for what stands nowhere.
        where: File and line of every value.
    """

    file: Path
    where: Mapping[Place, tuple[Path, int]]

    def error(self, place: Place, text: str) -> ConfigError:
        """Return the error of the value at *place*; one that is missing has its parent's line."""
        for length in range(len(place), 0, -1):
            if place[:length] in self.where:
                file, line = self.where[place[:length]]
                return ConfigError(f"{file}, line {line}: {shown(place)}: {text}")
        return ConfigError(f"{self.file}: {shown(place)}: {text}")

    def read(self, model: type[_Model], place: Place, value: Any, **given: str) -> _Model:
        """Return *value* as *model*, with the fields *given* beside it.

        Raises:
            ConfigError: A field is wrong, missing or unknown; names file, line, field and cure.
        """
        if not isinstance(value, dict):
            raise self.error(place, f"write a table of fields. It is {value!r}.")
        try:
            return model.model_validate({**value, **given})
        except ValidationError as error:
            faults = error.errors()
            # A field that is misspelt is missing too, and its line says more.
            unknown = (fault for fault in faults if fault["type"] == "extra_forbidden")
            first = next(unknown, faults[0])
            inner = getattr(first.get("ctx", {}).get("error"), "place", ())
            text = _told(first, model, set(given))
            raise self.error((*place, *first["loc"], *inner), text) from None


def _told(fault: Mapping[str, Any], model: type[BaseModel], given: set[str]) -> str:
    if fault["type"] == "extra_forbidden":
        fields = [name for name in model.model_fields if name not in given | {"name"}]
        hint = did_you_mean(str(fault["loc"][-1]), fields)
        return f"there is no such field. {hint}Fields: {', '.join(fields)}."
    if fault["type"] == "missing":
        return "this field is missing. Add it."
    text = str(fault["msg"]).removeprefix("Value error, ").rstrip(".")
    text = f"{text[0].lower()}{text[1:]}"
    if isinstance(fault.get("ctx", {}).get("error"), FieldError):
        return f"{text}."
    return f"{text}. It is {fault['input']!r}."


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
