"""Build what is published, check it, and use the wheel in an environment of its own with what the registry brings.

    python scripts/package.py     (`make package`)

The tests of tests/packaging do the same without a network; this is the one run that installs as a person does.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
ROOM = ROOT / "build" / "package"
TESTS = ROOT / "tests" / "packaging"
KIB = 1024
SAID = re.compile(r"about (\d+) KiB")
OFF_BY = 0.03


def run(*command: str | Path, **options: object) -> str:
    done = subprocess.run([str(word) for word in command], check=True, text=True, stdout=subprocess.PIPE, **options)  # type: ignore[call-overload]  # the options are ours
    return str(done.stdout)


def build() -> Path:
    """The sdist and the wheel made from it, in dist/; the wheel."""
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", DIST, ROOT)
    run(sys.executable, "-m", "twine", "check", "--strict", *sorted(DIST.iterdir()))
    [wheel] = DIST.glob("*.whl")
    return wheel


def told(wheel: Path) -> None:
    """What is in it, by folder."""
    with zipfile.ZipFile(wheel) as archive:
        files = archive.infolist()
    folders: dict[str, list[int]] = {}
    for file in files:
        folders.setdefault("/".join(file.filename.split("/")[:2][: file.filename.count("/")]), []).append(
            file.compress_size
        )
    for folder, sizes in sorted(folders.items()):
        print(f"  {folder:40} {len(sizes):4} files {sum(sizes) / KIB:6.0f} KiB")
    for path in sorted(DIST.iterdir()):
        print(f"{path.name}: {path.stat().st_size / KIB:.0f} KiB")


def is_told(wheel: Path) -> bool:
    """Whether docs/development.md has the wheel's size, nearly."""
    found = SAID.search((ROOT / "docs" / "development.md").read_text(encoding="utf-8"))
    size = wheel.stat().st_size / KIB
    return found is not None and abs(float(found[1]) / size - 1) <= OFF_BY


def used(wheel: Path) -> dict[str, object]:
    """Install it without extras in an empty environment, and buy from a played API on this machine."""
    shutil.rmtree(ROOM, ignore_errors=True)
    venv.create(ROOM / "environment", with_pip=True)
    python = ROOM / "environment" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", wheel)
    run(python, "-m", "pip", "check")
    with subprocess.Popen(
        [sys.executable, TESTS / "played_api.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin
        assert server.stdout
        sys.path.insert(0, str(TESTS))
        from played_api import KEY

        ours = {
            "ELUMENTA_BASE_URL": server.stdout.readline().strip(),
            "ELUMENTA_API_KEY": KEY,
            "ELUMENTA_HOME": str(ROOM / "home"),
            "ELUMENTA_LANG": "en",
            "IPYTHONDIR": str(ROOM / "ipython"),
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ELUMENTA_")}
        said = run(python, "-I", TESTS / "first_use.py", cwd=ROOM, env=kept | ours)
        server.stdin.close()
    return dict(json.loads(said.splitlines()[-1]))


def main() -> int:
    wheel = build()
    told(wheel)
    if not is_told(wheel):
        print("docs/development.md tells another size of the wheel: mend it there.")
        return 1
    print("twine check --strict: passed. Installing the wheel without extras …")
    found = used(wheel)
    good = found["missing names"] == [] and found["spent"] == 2 and "pip install" in str(found["sandbox"])
    print(
        f"A text and a picture were bought and booked: {found['spent']} tokens. {found['sandbox']}" if good else found
    )
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
