"""Several kernels on one folder, and kernels that die at the worst moment."""

import subprocess
import sys
from pathlib import Path

from store_making import LIVE, buy, call, png, store_at

HERE = Path(__file__).parent


def child(code: str, *arguments: str) -> subprocess.Popen:
    program = (
        f"import sys; sys.path.insert(0, {str(HERE)!r}); from store_making import *; from pathlib import Path\n{code}"
    )
    return subprocess.Popen([sys.executable, "-c", program, *arguments])


WRITER = """
store = store_at(Path(sys.argv[1]))
for n in range(40):
    buy(store, call(run=f"{sys.argv[2]}-{n}"), data=png(8 + n % 5))
    buy(store, call(f"text {n}", category="text", model="gpt-5", run=f"{sys.argv[2]}-{n}"), text="x" * n)
    store.takes() if n % 10 == 0 else None
"""


def test_two_kernels_write_one_folder_and_lose_nothing(tmp_path):
    kernels = [child(WRITER, str(tmp_path), name) for name in ("a", "b")]
    assert [kernel.wait(60) for kernel in kernels] == [0, 0]
    store = store_at(tmp_path)
    assert len(store.takes()) == 160
    assert store.damaged == {}
    assert not [path for path in store.folder.iterdir() if path.name.endswith(".part")]


DIES = """
import os, signal
store = store_at(Path(sys.argv[1]))
draft = store.begin(call(run="r1"), LIVE)
draft.path.write_bytes(png())
if sys.argv[2] == "before the sidecar":
    draft._take(Reply(id=1), "", tokens=13, call_id=None)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kernel_killed_before_the_sidecar_leaves_a_store_that_works(tmp_path):
    for moment in ("during the download", "before the sidecar"):
        assert child(DIES, str(tmp_path), moment).wait(60) == -9
    store = store_at(tmp_path)
    assert store.find(call(run="r2"), LIVE) is None
    assert store.damaged == {}
    take = buy(store, call(run="r3"), data=png())
    assert store_at(tmp_path).find(call(run="r4"), LIVE).id == take.id


KILLED = """
store = store_at(Path(sys.argv[1]))
print(flush=True)
while True:
    buy(store, call(f"text", category="text", model="gpt-5"), text="x" * 5000)
    buy(store, call(), data=png(300, 300))
"""


def test_a_kernel_killed_while_it_writes_leaves_whole_takes_only(tmp_path):
    for _round in range(4):
        program = child(KILLED, str(tmp_path))
        while not (tmp_path / "elumenta_media").exists() or not any((tmp_path / "elumenta_media").iterdir()):
            assert program.poll() is None
        program.kill()
        program.wait(60)
    store = store_at(tmp_path)
    store.takes()
    assert store.damaged == {}
