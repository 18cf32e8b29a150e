"""The disk, carefully: whole files or none, and what could fail after paying is tried before."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from pathlib import Path
from typing import Final

from ._errors import ConfigError
from ._language import gettext as _

__all__ = ["PART", "room", "sweep", "sync", "try_file", "unwritable", "why", "write_durably"]

PART: Final = ".part"
STALE_S: Final = 2 * 24 * 3600


def write_durably(path: Path, data: bytes) -> None:
    """The file with its whole content, or none: written aside, synced, renamed, the folder synced."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    sync_folder(path.parent)


def sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """The rename itself on the disk; systems without it (Windows, some network mounts) go without."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def unwritable(folder: Path) -> str:
    """Why no file can be made in a folder (it is created if need be); empty when one can: really tried."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try_file(folder)
    except (OSError, ValueError) as error:
        return why(error)
    return ""


def try_file(folder: Path) -> None:
    trial = folder / f".{secrets.token_hex(6)}{PART}"
    try:
        with trial.open("xb") as file:
            file.write(b"\0")
    finally:
        with contextlib.suppress(OSError):
            trial.unlink()


def why(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def room(folder: Path, need_bytes: int) -> None:
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return
    if free < need_bytes:
        raise ConfigError(
            _("The disk of {folder} has {free} MB left, {need} MB may be needed.").format(
                folder=folder, free=free // 10**6, need=-(-need_bytes // 10**6)
            ),
            hint=_("Free space, or set ELUMENTA_MEDIA_DIR to a folder on another disk."),
        )


def sweep(folder: Path) -> None:
    """Remove what killed kernels left behind; never a file that is still being written."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name.startswith(".") and entry.name.endswith(PART):
                with contextlib.suppress(OSError):
                    if time.time() - entry.stat(follow_symlinks=False).st_mtime > STALE_S:
                        Path(entry.path).unlink()
