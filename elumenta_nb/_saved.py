"""Copies of results where the person asked for them (`--save`), never over a file that is not such a copy."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ._disk import PART, room, sync, try_file, why
from ._errors import BadParam
from ._language import gettext as _
from ._sidecar import digest_file

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["check_target", "save_copy"]

SAVED: Final = ".saved"  # in the store: sha256 of each copy, one a line: such a file may be written over again


def check_target(save: str | Path, *, folders: Iterable[Path], need_bytes: int) -> None:
    """Raise `BadParam` (or `ConfigError`: disk full) for a target that could not be written; nothing is left behind."""
    target = target_of(save)
    parent = target if is_folder(save, target) else target.parent
    _try_folder(parent, save)
    room(_existing(parent), need_bytes)
    if parent is not target:
        only_ours(target, folders)


def save_copy(data: bytes | Path, target: str | Path, *, name: str, folders: Iterable[Path]) -> Path:
    """Write a copy where the person asked, and remember its hash; the path written.

    `name` is used inside a folder, and its extension where the target has none. A file that is not an earlier copy of
    ours is never written over. Raises `BadParam`.
    """
    path = target_of(target)
    if is_folder(target, path):
        path = path / name
    elif not path.suffix:
        path = path.with_name(path.name + "".join(Path(name).suffixes[-1:]))
    folders = list(folders)
    only_ours(path, folders)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{secrets.token_hex(6)}{PART}")
        try:
            if isinstance(data, bytes):
                part.write_bytes(data)
            else:
                shutil.copyfile(data, part)
            sync(part)
            digest = digest_file(part)
            part.replace(path)
        finally:
            with contextlib.suppress(OSError):
                part.unlink()
    except OSError as error:
        raise _cannot(target, why(error)) from error
    _remember(digest, folders)
    return path


def _remember(digest: str, folders: Iterable[Path]) -> None:
    for folder in folders:
        try:
            with (folder / SAVED).open("ab") as file:
                file.write(digest.encode() + b"\n")  # one short append: whole, also between two kernels
        except OSError:
            continue
        return


def _remembered(folders: Iterable[Path]) -> set[str]:
    found: set[str] = set()
    for folder in folders:
        with contextlib.suppress(OSError), (folder / SAVED).open("rb") as file:
            found.update(file.read(16 * 1024 * 1024).decode("ascii", "replace").split())
    return found


def only_ours(path: Path, folders: Iterable[Path]) -> None:
    try:
        path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise _cannot(path, why(error)) from None
    if path.is_symlink() or not path.is_file():
        raise _cannot(path, _("it is not an ordinary file"))
    try:
        ours = digest_file(path) in _remembered(folders)
    except OSError as error:
        raise _cannot(path, why(error)) from None
    if not ours:
        raise BadParam(
            _("{path} exists and was not made by an earlier run, or was changed since.").format(path=path),
            hint=_("Choose another name, or remove that file."),
        )


def target_of(save: str | Path) -> Path:
    text = os.fspath(save)
    if not text.strip() or "\0" in text:
        raise _cannot(text.replace("\0", "?"), _("it is not a path"))
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:
        raise _cannot(text, str(error)) from None


def is_folder(save: str | Path, target: Path) -> bool:
    return os.path.isdir(target) or os.fspath(save).endswith(("/", os.sep))  # noqa: PTH112 - Path.is_dir raises for a name too long


def _existing(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _try_folder(folder: Path, save: str | Path) -> None:
    """Whether `folder` exists or can be made, without making it."""
    try:
        nearest = _existing(folder)
        if not nearest.is_dir():
            raise _cannot(save, _("{path} is a file, not a folder").format(path=nearest))
        try_file(nearest)
    except OSError as error:
        raise _cannot(save, why(error)) from None


def _cannot(path: str | Path, why: str) -> BadParam:
    return BadParam(
        _("--save {path} cannot be written: {why}.").format(path=path, why=why),
        hint=_("Choose a file in a folder you can write to."),
    )
