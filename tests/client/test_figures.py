"""The figures of the client that do not depend on how busy a machine is, as gates; `make bench` measures the rest."""

import json
import subprocess
import sys

import pytest

from elumenta_nb._order import poll_delay
from elumenta_nb._values import Limits

FETCH = """
import asyncio, json, resource, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from elumenta_nb._client import Client
SIZE = 96 * 2**20

class Files(BaseHTTPRequestHandler):
    def do_GET(self):
        size = SIZE if self.path == "/large" else 2**20
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        piece = bytes(2**20)
        for _ in range(size // 2**20):
            self.wfile.write(piece)
    def log_message(self, *_):
        pass

server = HTTPServer(("127.0.0.1", 0), Files)
threading.Thread(target=server.serve_forever, daemon=True).start()
place = f"http://127.0.0.1:{server.server_port}"

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

async def grown():
    client = Client(base_url=place, key=lambda: "nb_figures_key_0000")
    await client.download(f"{place}/small", Path("small"), max_bytes=SIZE)
    before = peak()
    await client.download(f"{place}/large", Path("large"), max_bytes=SIZE)
    return peak() - before

print(json.dumps({"grown_mib": asyncio.run(grown()), "size": Path("large").stat().st_size}))
"""


def test_a_file_of_96_mib_takes_at_most_16_mib_of_memory(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FETCH], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )

    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert told["size"] == 96 * 2**20
    assert told["grown_mib"] <= 16


@pytest.mark.parametrize(("minutes", "most"), [(1, 8), (10, 30), (30, 80)])
def test_a_long_job_is_asked_about_seldom(minutes, most):
    waited, polls = 0.0, 0
    while waited < minutes * 60:
        waited += poll_delay(polls, None, Limits())
        polls += 1

    assert polls <= most, "polls may count against the 100 requests of an hour"


def test_a_server_that_promises_a_second_again_and_again_is_not_believed_for_ever():
    polls = [poll_delay(n, 1.0, Limits()) for n in range(40)]

    assert sum(polls[:30]) >= 300


@pytest.mark.parametrize("eta_s", [0.0, 0.5, 1.0, 5.0, 9.0, 24.0])
def test_whatever_a_server_promises_a_job_of_ten_minutes_is_asked_about_thirty_times_at_most(eta_s):
    waited, polls = 0.0, 0
    while waited < 600:
        waited += poll_delay(polls, eta_s, Limits())
        polls += 1

    assert polls <= 30
