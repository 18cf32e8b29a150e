"""Which journal SQLite can have where the file is."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["journal_for"]

_NETWORK: Final = frozenset(
    [
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "gfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "panfs",
        "smb3",
        "smbfs",
        "virtiofs",
        "wekafs",
    ]
)
_LOCAL_FUSE: Final = frozenset({"fuse.fuse-overlayfs", "fuse.ntfs-3g", "fuse.exfat", "fuse.mergerfs"})


def _mounts() -> str:
    try:
        return Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""  # not Linux: nothing is known, so local


def journal_for(folder: Path, mounts: str | None = None) -> str:
    """``"TRUNCATE"`` on a network file system, where WAL's shared memory does not work, else ``"WAL"``.

    `mounts` is the text of ``/proc/self/mountinfo``.
    """
    here = folder.resolve()
    longest, kind = -1, ""
    for line in (_mounts() if mounts is None else mounts).splitlines():
        before, _dash, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not after:
            continue
        point = Path(fields[4].encode().decode("unicode_escape", errors="replace"))  # a space is written \040
        if here.is_relative_to(point) and len(point.parts) >= longest:  # a later mount covers an earlier one
            longest, kind = len(point.parts), after.split(" ")[0]
    remote = kind in _NETWORK or (kind.startswith("fuse.") and kind not in _LOCAL_FUSE)
    return "TRUNCATE" if remote else "WAL"
