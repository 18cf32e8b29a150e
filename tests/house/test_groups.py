"""The tests that share a browser, a server or a cluster run in one process, whatever runs beside them."""


def test_a_group_stays_in_one_process(request):
    """pytest 9.2 loses the groups of pytest-xdist 3.8: each browser ran in two processes, in half of the order."""
    is_grouping = getattr(request.config.option, "loadgroup", False)
    grouped = [item.nodeid for item in request.session.items if item.get_closest_marker("xdist_group")]
    assert [name for name in grouped if ("@" in name) is not is_grouping] == []
