"""Files that a command writes from the table and that are kept beside what people write.

Knows neither what is in them nor the table: a path and its text.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from onchain_agg.errors import ConfigError


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
            raise ConfigError(f"{path} cannot be written: {error}. Name another folder.") from None
    return list(texts)


def drift(texts: Mapping[Path, str], folders: Iterable[Path], command: str) -> list[str]:
    """Return a sentence with cure for each file that is not as *command* would write it.

    Args:
        texts: What it would write.
        folders: Those that hold nothing but its files; any other file there is a fault.
        command: As a person types it.
    """
    faults = {
        path: f"{path} belongs to no queue or node group. Remove it, or add that to the workloads"
        " file."
        for folder in folders
        for path in folder.glob("*")
        if path not in texts
    }
    for path, text in texts.items():
        if not path.is_file():
            faults[path] = f"{path} is missing. Run `{command}`."
        elif path.read_bytes() != text.encode():
            faults[path] = f"{path} is not what the table makes. Run `{command}`."
    return [faults[path] for path in sorted(faults)]
