"""The first minutes with an installed package and nothing else: run by the Python of an environment that has only what
the package itself asks for. Prints what it found as JSON; its caller judges.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import pkgutil
import sys
import warnings
from pathlib import Path

warnings.simplefilter("error", DeprecationWarning)
found: dict[str, object] = {}

import elumenta_nb as el  # noqa: E402 - after the warnings

found["where"] = str(Path(el.__file__).parent)
found["version"] = [el.__version__, importlib.metadata.version("elumenta-nb")]
found["missing names"] = [name for name in el.__all__ if getattr(el, name, None) is None]

unimportable = {}
for module in pkgutil.walk_packages(el.__path__, "elumenta_nb."):
    if module.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(module.name)
    except ImportError as error:
        unimportable[module.name] = error.name
found["unimportable"] = unimportable

result = el.generate("gpt-5-nano", "One line", max_price=2)
found["text"] = [result.text, result.tokens]
picture = el.generate("photon-flash", "A wall", max_price=2)
found["picture"] = [picture.mime, picture.tokens, picture.path.stat().st_size]
found["spent"] = int(el.spend()["tokens"].sum())
found["balance"] = el.balance().tokens
found["quote"] = el.quote("dall-e-3").tokens

from IPython.core.interactiveshell import InteractiveShell  # noqa: E402

shell = InteractiveShell.instance()
shell.history_manager.enabled = False
for source in ("%load_ext elumenta_nb", "%%elumenta text gpt-5-nano -o line\nAnother line"):
    shell.run_cell(source).raise_error()
found["cell"] = [shell.user_ns["line"].text, shell.user_ns["line"].tokens]

try:
    el.sandbox.serve()
except el.ConfigError as error:
    found["sandbox"] = [str(error), error.hint]

el.configure(lang="ru")
try:
    el.generate("dall-e-9", "x")
except el.ElumentaError as error:
    found["russian"] = [str(error), error.hint]
el.reset()

refused = shell.run_cell("%elumenta sandbox on").error_in_exec
found["sandbox cell"] = [type(refused).__name__, getattr(refused, "hint", "")]

print(json.dumps(found))
sys.stdout.flush()
