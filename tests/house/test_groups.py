"""The tests that share a browser, a server or a cluster run in one process, whatever runs beside them; and every process
finds the same tests."""

from elumenta_nb._buying import KERNEL


def test_a_group_stays_in_one_process(request):
    """pytest 9.2 loses the groups of pytest-xdist 3.8: each browser ran in two processes, in half of the order."""
    is_grouping = getattr(request.config.option, "loadgroup", False)
    grouped = [item.nodeid for item in request.session.items if item.get_closest_marker("xdist_group")]
    assert [name for name in grouped if ("@" in name) is not is_grouping] == []


def test_no_test_is_named_after_its_process(request):
    """The processes of pytest-xdist would collect different tests, and not one would run."""
    assert [item.nodeid for item in request.session.items if KERNEL in item.nodeid] == []
