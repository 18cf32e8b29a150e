"""An interrupt ends the cell within a second in every phase, and says what may still be charged."""

import time

import psutil
import pytest

pytestmark = pytest.mark.kernel


def stop(kernel, server, cell, *, reached, then=0.3):
    """Run the cell and interrupt it `then` seconds after a request on the path `reached` has arrived."""
    before, at = len(server.seen), []

    def is_time(_ran):
        if not at and any(
            request.path.endswith(reached) or reached in request.path for request in list(server.seen)[before:]
        ):
            at.append(time.monotonic())
        return bool(at) and time.monotonic() - at[0] > then

    ran = kernel.run(cell, cell_id="i1", interrupt=is_time)
    assert ran.status == "error", "it ended before the interrupt"
    return ran


def is_connecting(kernel, address):
    """Whether the kernel waits for a connection to be opened, as its system tells."""
    sockets = psutil.Process(kernel.manager.provisioner.pid).net_connections("tcp")
    return any(each.status == psutil.CONN_SYN_SENT and each.raddr == address for each in sockets)


def check(ran):
    error = ran.of("error")[0]
    text = "\n".join(error["traceback"])
    assert error["ename"] == "KeyboardInterrupt"
    assert ran.seconds <= 1.0
    assert len(text.splitlines()) <= 10
    return text


@pytest.fixture(autouse=True, scope="module")
def warm(kernel):
    kernel.run("%%elumenta text gpt-5\nwarm up")
    kernel.run("%%elumenta image photon-flash\nwarm up")
    kernel.run("%elumenta price kling-v2.1")


def test_while_waiting_for_the_answer(kernel, server):
    server.fault("slow", path="/generate", method="POST", seconds=20)
    text = check(stop(kernel, server, "%%elumenta image photon-flash --fresh\nslow", reached="/generate"))

    assert "Up to 1 token may still be charged." in text
    assert "%elumenta recover" in text


def test_while_a_text_streams(kernel, server):
    server.fault("slow", path="/generate/stream", method="POST", seconds=20)
    text = check(stop(kernel, server, "%%elumenta text gpt-5 --fresh\nslow", reached="/generate/stream"))

    assert "Up to 2 tokens may still be charged." in text


def test_while_a_job_is_polled_and_recover_gets_it(kernel, server):
    server.fault("pending", path="/generate", method="POST", seconds=1)
    server.fault("slow", path="/generate/*", method="GET", seconds=20, before=True)
    text = check(stop(kernel, server, "%%elumenta video kling-v2.1 --fresh\na cat", reached="/generate/", then=0.1))

    assert "Up to 26 tokens may still be charged." in text
    number = text.rsplit("recover ", 1)[1].split()[0]
    ran = kernel.run(f"%elumenta recover {number}", cell_id="i2")
    assert ran.status == "ok"
    assert "kling-v2.1" in ran.of("execute_result")[0]["data"]["text/plain"]


def test_while_a_file_is_fetched(kernel, server):
    server.fault("slow", path="*storage*", seconds=20, before=True)
    text = check(stop(kernel, server, "%%elumenta image photon-flash --fresh\na boat", reached="storage"))

    assert "may still be charged" not in text  # it is paid already
    number = text.rsplit("It was complete already: %elumenta show ", 1)[1].split()[0]
    assert "photon-flash" in kernel.run(f"%elumenta show {number}").of("execute_result")[0]["data"]["text/plain"]


def test_while_connecting(kernel, server):
    """A listener whose queue is full answers no SYN: the connection neither opens nor fails."""
    import socket

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fillers = [socket.socket() for _ in range(3)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/api/v2"
    try:
        kernel.run(f"import elumenta_nb as el; _ = el.configure(base_url='{url}')")
        ran = kernel.run(
            "%%elumenta text gpt-5 --fresh\nhi", interrupt=lambda _ran: is_connecting(kernel, listener.getsockname())
        )
        text = check(ran)
    finally:
        kernel.run(f"_ = el.configure(base_url='{server.url}')")
        for each in [*fillers, listener]:
            each.close()

    assert "Nothing was charged." in text


def test_the_kernel_goes_on_as_before(kernel):
    ran = kernel.run("%%elumenta text gpt-5 --fresh\nstill there?")

    assert ran.kinds == ["execute_result", "display_data"]


def test_a_call_of_python_says_it_as_a_cell_does(kernel, server):
    server.fault("slow", path="/generate", method="POST", seconds=20)
    source = 'import elumenta_nb as el\nel.generate("photon-flash", "slow in Python")'
    text = check(stop(kernel, server, source, reached="/generate"))

    assert "Up to 1 token may still be charged." in text
    assert "%elumenta recover" in text


def test_a_question_that_costs_nothing_ends_in_a_line(kernel, server):
    server.fault("slow", path="*calculate-price", seconds=20)
    source = 'import elumenta_nb as el\nel.quote("kling-v2.1", duration=10)'
    text = check(stop(kernel, server, source, reached="calculate-price"))

    assert text.endswith("stopped waiting.")


def test_a_map_says_what_goes_on_and_how_to_get_the_rest(kernel, server):
    server.fault("slow", path="/generate", method="POST", seconds=3, times=2)
    source = """import pandas as pd
import elumenta_nb as el
el.map(pd.DataFrame({"a": ["x", "y"]}), "{{a}}, slowly", model="photon-flash", budget=5)"""
    text = check(stop(kernel, server, source, reached="/generate"))

    assert "What was sent is seen through and charged" in text
    assert "→ Run it again for the rest" in text
