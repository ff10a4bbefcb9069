"""The volumes of a pod, as folders of this machine."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.e2e.node_objects import NotYetError, Objects

_Files = dict[str, tuple[bytes, int]]
_FILE_MODE = 0o644


async def make_volumes(
    pod: Mapping[str, Any], home: Path, claims: Path, objects: Objects
) -> dict[str, Path]:
    """Return the folder of each volume of *pod*; those that live as long as it are in *home*.

    Raises:
        NotYetError: An object that a volume is made of is not there, or the node cannot make it.
    """
    group = pod["spec"].get("securityContext", {}).get("fsGroup")
    made = {}
    for volume in pod["spec"].get("volumes", ()):
        folder = home / "volumes" / volume["name"]
        if "hostPath" in volume:
            folder = Path(volume["hostPath"]["path"])
        elif "persistentVolumeClaim" in volume:
            claim = volume["persistentVolumeClaim"]["claimName"]
            await objects.check_claim(claim)
            folder = claims / pod["metadata"]["namespace"] / claim
            _writable(folder, group)
        elif "emptyDir" in volume:
            _writable(folder, group)
        else:
            _write(folder, await _files(volume, objects), group)
        made[volume["name"]] = folder
    return made


def mounts(
    container: Mapping[str, Any], volumes: Mapping[str, Path], objects: Objects
) -> list[dict[str, Any]]:
    """Return what is mounted where in *container*.

    Raises:
        NotYetError: It asks for what the node cannot do.
    """
    made = []
    for mount in container.get("volumeMounts", ()):
        source = volumes[mount["name"]]
        if "subPathExpr" in mount:
            raise NotYetError("the node reads no subPathExpr")
        if below := mount.get("subPath"):
            source /= below
            if not source.exists():
                source.mkdir(parents=True)
                source.chmod(volumes[mount["name"]].stat().st_mode)
        read_only = mount.get("readOnly", False)
        made.append({"source": str(source), "path": mount["mountPath"], "read_only": read_only})
    return made


def _writable(folder: Path, group: int | None) -> None:
    """Make *folder*, which every user may write; one that is there is only given its group."""
    if not folder.exists():
        folder.mkdir(parents=True)
        folder.chmod(0o777)
    if group is not None and os.geteuid() == 0:
        # Nothing below it, as with fsGroupChangePolicy OnRootMismatch where the root matches.
        os.chown(folder, -1, group)
        folder.chmod(folder.stat().st_mode | 0o2770)


def _write(folder: Path, files: _Files, group: int | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, (content, mode) in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        # A kubelet lets the group read what its owner reads.
        path.chmod(mode if group is None else mode | 0o440)
        if group is not None and os.geteuid() == 0:
            os.chown(path, 0, group)


async def _files(volume: Mapping[str, Any], objects: Objects) -> _Files:
    if "configMap" in volume:
        return await _of_object("configmaps", volume["configMap"], objects, _FILE_MODE)
    if "secret" in volume:
        source = {"name": volume["secret"]["secretName"], **volume["secret"]}
        return await _of_object("secrets", source, objects, _FILE_MODE)
    if "downwardAPI" in volume:
        source = volume["downwardAPI"]
        return _of_fields(source.get("items", ()), objects, source.get("defaultMode", _FILE_MODE))
    if "projected" in volume:
        return await _projected(volume["projected"], objects)
    kind = next(key for key in volume if key != "name")
    raise NotYetError(f"the node makes no volume of kind {kind}")


async def _projected(volume: Mapping[str, Any], objects: Objects) -> _Files:
    mode = volume.get("defaultMode", _FILE_MODE)
    files: _Files = {}
    for source in volume.get("sources", ()):
        if "configMap" in source:
            files |= await _of_object("configmaps", source["configMap"], objects, mode)
        elif "secret" in source:
            files |= await _of_object("secrets", source["secret"], objects, mode)
        elif "downwardAPI" in source:
            files |= _of_fields(source["downwardAPI"].get("items", ()), objects, mode)
        else:
            token = source["serviceAccountToken"]
            seconds = token.get("expirationSeconds", 3600)
            # A token is not renewed: a pod of a test is gone before it runs out.
            files[token["path"]] = await objects.token(token.get("audience"), seconds), mode
    return files


async def _of_object(
    kind: str, source: Mapping[str, Any], objects: Objects, default_mode: int
) -> _Files:
    optional = source.get("optional", False)
    mode = source.get("defaultMode", default_mode)
    data = await objects.data(kind, source["name"], optional=optional) or {}
    if "items" not in source:
        return {key: (value, mode) for key, value in data.items()}
    files: _Files = {}
    for item in source["items"]:
        if item["key"] in data:
            files[item["path"]] = data[item["key"]], item.get("mode", mode)
        elif not optional:
            raise NotYetError(f"references non-existent config key: {item['key']}")
    return files


def _of_fields(items: Iterable[Mapping[str, Any]], objects: Objects, mode: int) -> _Files:
    return {
        item["path"]: (objects.field(item["fieldRef"]["fieldPath"]).encode(), mode)
        for item in items
    }
