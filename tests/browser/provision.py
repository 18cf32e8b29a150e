"""Find or install a Chromium for the browser tests: ``python tests/browser/provision.py`` prints its path.

In this order: `ELUMENTA_TEST_CHROMIUM`, an installed Chromium or Chrome, one Playwright downloaded earlier,
``apt-get install chromium`` as root, Playwright's own download. When nothing works it says what to install and fails:
browser tests are never skipped in silence.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
)
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/snap/bin/chromium",
)
CACHES = ("~/.cache/ms-playwright", "~/Library/Caches/ms-playwright")
CACHED = (
    "chromium-*/chrome-linux*/chrome",
    "chromium-*/chrome-mac*/Chromium.app/Contents/MacOS/Chromium",
    "chromium-*/chrome-mac*/*.app/Contents/MacOS/*",
)

# Chromium as root needs --no-sandbox; the rest keeps it from calling home and from asking about anything.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--autoplay-policy=no-user-gesture-required",
)

ADVICE = """No Chromium was found and none could be installed. Do one of these, then run again:
  Debian:             sudo apt-get install chromium
  Ubuntu:             sudo snap install chromium
  Fedora:             sudo dnf install chromium
  macOS:              brew install --cask chromium
  with Playwright:    .venv/bin/python -m playwright install --with-deps chromium
  one you have:       ELUMENTA_TEST_CHROMIUM=/path/to/chrome make test
`make test-quick` needs no browser."""


def runs(path: str | Path | None) -> str | None:
    """The path, when a browser really starts from it."""
    if not path or not os.access(path, os.X_OK):
        return None
    try:
        done = subprocess.run([str(path), "--version"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return str(path) if done.returncode == 0 and done.stdout.strip() else None


def named() -> str | None:
    """The one the person names; a wrong name is an error, not a reason to look elsewhere."""
    wish = os.environ.get("ELUMENTA_TEST_CHROMIUM")
    if wish and not runs(wish):
        raise SystemExit(f"ELUMENTA_TEST_CHROMIUM={wish} does not start.")
    return wish or None


def installed() -> str | None:
    return next((found for name in NAMES if (found := runs(shutil.which(name)))), None) or next(
        (found for place in PLACES if (found := runs(place))), None
    )


def downloaded() -> str | None:
    caches = [os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or "", *CACHES]
    for cache in filter(None, caches):
        folder = Path(cache).expanduser()
        for pattern in CACHED:
            for path in sorted(folder.glob(pattern), reverse=True):
                if found := runs(path):
                    return found
    return None


def _try(*command: str) -> bool:
    print("+", *command, file=sys.stderr, flush=True)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, env=quiet, check=False).returncode == 0


def by_apt() -> str | None:
    if not shutil.which("apt-get") or os.geteuid() != 0:
        return None
    _try("apt-get", "update", "-q")
    _try("apt-get", "install", "-y", "-q", "--no-install-recommends", "chromium", "fonts-dejavu-core")
    return installed()


def by_playwright() -> str | None:
    _try(sys.executable, "-m", "playwright", "install", "chromium")
    return downloaded()


WAYS: tuple[Callable[[], str | None], ...] = (named, installed, downloaded, by_apt, by_playwright)


def find() -> str | None:
    """A browser that is here already."""
    return named() or installed() or downloaded()


def provision(ways: tuple[Callable[[], str | None], ...] = WAYS) -> str:
    """A browser, installed when there is none. Raises `SystemExit` with advice when that fails."""
    for way in ways:
        if path := way():
            return path
    raise SystemExit(ADVICE)


if __name__ == "__main__":
    print(provision())
