"""Files that a command writes from the table and that are kept beside what people write.

Knows neither what is in them nor the table: a path and its text.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from onchain_agg.errors import ConfigError


@dataclass(frozen=True)
class Made:
    """Who makes the files, as sentences about them say it.

    Attributes:
        command: As a person types it.
        source: What they are made from, such as ``the table``.
        owner: What a file stands for, such as ``size of pod``.
        added: The same with an article, as one adds it to the workloads file.
    """

    command: str
    source: str
    owner: str
    added: str


def write(texts: Mapping[Path, str]) -> list[Path]:
    """Write each text to its path, and return the paths.

    Raises:
        ConfigError: A file cannot be written.
    """
    for path, text in texts.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
        except OSError as error:
            # The folder, where that is what cannot be made.
            place = error.filename or path
            raise ConfigError(f"{place} cannot be written: {error}. Name another folder.") from None
    return list(texts)


def drift(
    texts: Mapping[Path, str], folders: Iterable[Path], made: Made, *, pattern: str = "*"
) -> list[str]:
    """Return a sentence with cure for each file that is not as it would be written.

    Args:
        texts: What would be written.
        folders: Those in which each file of *pattern* is one of them; any other there is a fault.
        made: Who writes them.
        pattern: Such as ``*.yaml``.
    """
    faults = {
        path: f"{path} belongs to no {made.owner}. Remove it, or add {made.added} to the workloads"
        " file."
        for folder in folders
        for path in folder.glob(pattern)
        if path not in texts
    }
    for path, text in texts.items():
        if not path.is_file():
            faults[path] = f"{path} is missing. Run `{made.command}`."
        elif path.read_bytes() != text.encode():
            faults[path] = f"{path} is not what {made.source} makes. Run `{made.command}`."
    return [faults[path] for path in sorted(faults)]
