"""mypy --strict reads the package's public surface as a user's code does."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_public_surface_has_the_types_it_promises() -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--warn-unused-ignores", str(Path(__file__).parent / "api.py")]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)

    assert done.returncode == 0, done.stdout
