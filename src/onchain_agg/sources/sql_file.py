"""A folder of YAML files → the declared sources. A file's name is its source's name."""

from pathlib import Path

from onchain_agg.errors import ConfigError, UnknownNameError
from onchain_agg.sources.sql import SqlSource
from onchain_agg.yaml_lines import Blame, read_yaml

_SUFFIXES = {".yaml", ".yml"}


def load_sources(folder: Path | None) -> dict[str, SqlSource]:
    """Return the sources that are declared in *folder*, by name; none where there is no folder.

    Raises:
        ConfigError: A file is wrong; names file, line, field and cure.
    """
    if folder is None:
        return {}
    found: dict[str, SqlSource] = {}
    for file in sorted(file for file in folder.iterdir() if file.suffix in _SUFFIXES):
        if file.stem in found:
            raise ConfigError(f"{file}: source {file.stem} is declared twice. Remove one file.")
        found[file.stem] = load_source(file)
    return found


def load_source(file: Path) -> SqlSource:
    """Return the source that *file* declares.

    Raises:
        ConfigError: It is wrong; names file, line, field and cure.
    """
    told, lines = read_yaml(file)
    blame = Blame(file, {place: (file, line) for place, line in lines.items()})
    return blame.read(SqlSource, (), told, name=file.stem)


def source_named(folder: Path | None, name: str) -> SqlSource:
    """Return the source *name* of *folder*. Only its own file is read.

    Raises:
        UnknownNameError: There is none; lists those that there are.
        ConfigError: No folder is configured, or the file is wrong.
    """
    if folder is None:
        raise ConfigError(
            f"No source can be named {name!r}: option [onchain_agg] sources_folder is not set. Set "
            "it to the folder of the sources' YAML files."
        )
    files = {file.stem: file for file in sorted(folder.iterdir()) if file.suffix in _SUFFIXES}
    if name not in files:
        raise UnknownNameError("source", name, files)
    return load_source(files[name])
