"""P3: what a text call costs beside a raw request and two durable commits. Seen at any load: 1.2 to 1.9 times, p99 1."""

import pytest

from bench import bench_call
from bench.serving import serving

pytestmark = pytest.mark.slow


def test_a_text_call_costs_little_beside_a_raw_request_and_two_durable_commits():
    with serving() as base:
        got = bench_call.measured(base)

    ratios = {q: got[f"ours{q}"] / got[f"peer{q}"] for q in bench_call.LIMITS}
    assert all(ratios[q] <= most for q, most in bench_call.LIMITS.items()), got
