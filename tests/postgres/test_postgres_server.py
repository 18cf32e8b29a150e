"""What tests in PostgreSQL leave behind when they are killed."""

import subprocess
import sys
import time
from pathlib import Path

import postgres_server
import pytest

KILLED = """
import os, sys
sys.path.insert(0, sys.argv[1])
import postgres_server
server = postgres_server.Server()
server.start()
print(server.folder, server._process.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def lives(pid: str) -> bool:
    """A process that has ended and that nobody asked about (a container without an init) does not live."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True, check=False).stdout.strip()
    return bool(state) and not state.startswith("Z")


@pytest.mark.postgres
@pytest.mark.slow
def test_the_server_of_killed_tests_is_ended_by_the_next_that_starts_one(postgres):
    """With the folder for temporary files that all have: what lives there stays."""
    here = str(Path(postgres_server.__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, here], capture_output=True, text=True, timeout=120, check=False
    )
    folder, pid = done.stdout.split()
    left = (Path(folder).exists(), lives(pid))

    with postgres_server.Server():
        gone = not Path(folder).exists()
        ends = time.monotonic() + 30
        while lives(pid) and time.monotonic() < ends:
            time.sleep(0.02)
        assert postgres.ask("SELECT 1") == [(1,)]

    assert left == (True, True)
    assert gone
    assert not lives(pid)
