"""A plain Python script buys without what only a notebook needs: its first call does not wait for it (P2)."""

import subprocess
import sys

SCRIPT = """
import sys
import elumenta_nb as el
el.configure(mode="sandbox")
print(el.generate("gpt-5-nano", "hello").tokens, {"IPython", "ipywidgets", "pandas", "altair"} & set(sys.modules))
"""


def test_a_script_that_buys_imports_no_notebook_and_no_pandas(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.stdout.split(maxsplit=1) == ["1", "set()\n"], done.stderr
