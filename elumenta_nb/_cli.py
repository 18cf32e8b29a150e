"""The command `elumenta-nb`: the demo, the sandbox as a server, and the verbs of `%elumenta` that make sense without
a notebook. Exit status: 0 done, 1 refused or failed, 2 the command line is wrong.
"""

from __future__ import annotations

import io
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from . import _cli_map
from ._catalog import closest
from ._errors import BadParam, ElumentaError, InvalidCall, UnknownModel
from ._language import gettext as _
from ._options import HELP, N_, Option, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ._parser import Grammar, Line
    from ._values import Origin

__all__ = ["main"]

_VERBS: Final = (
    "price",
    "spend",
    "balance",
    "models",
    "plans",
    "budget",
    "jobs",
    "recover",
    "show",
    "account-history",
    "config",
    "login",
    "logout",
    "doctor",
)
_MAGIC: Final = re.compile(r"%elumenta ([a-z-]+)")
DONE: Final = 0
REFUSED: Final = 1
MISUSED: Final = 2
INTERRUPTED: Final = 130  # what shells expect after Ctrl-C


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without a letter shows "?" in its place
    try:
        status = _run(words)
        sys.stdout.flush()
    except InvalidCall as error:
        return _complain(error, MISUSED)
    except ElumentaError as error:
        return _complain(error, REFUSED)
    except KeyboardInterrupt:
        print(_("Stopped."), file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `| head` has read enough; nothing may be flushed to it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    return status


def _run(words: list[str]) -> int:
    name = words.pop(0) if words else "help"
    if name == "help" and words and not words[0].startswith("-"):
        name, words = words[0], ["-h"]
    if name in ("-h", "--help", "help"):
        print(_page())
        return DONE
    if name in ("-V", "--version"):
        from . import __version__

        print(f"elumenta-nb {__version__}")
        return DONE
    if own := _OWN.get(name):
        return _own(name, own, words)
    return _verb(name, words)


def _complain(error: ElumentaError, status: int) -> int:
    print(_plain(f"{type(error).__name__}: {error}"), file=sys.stderr)
    if error.spent != "no":
        print(error.money(), file=sys.stderr)
    for line in error.hint.splitlines():
        print(_plain(f"→ {line}"), file=sys.stderr)
    return status


def _plain(text: str) -> str:
    """The words of the magic as they are said in a terminal."""
    text = text.replace("%elumenta sandbox on", "ELUMENTA_MODE=sandbox elumenta-nb …")
    return _MAGIC.sub(lambda found: f"elumenta-nb {found[1]}" if found[1] in _commands() else found[0], text)


def _commands() -> list[str]:
    from ._verbs import VERBS

    return [*_OWN, *(name for name in _VERBS if name in VERBS), "help"]


def _page() -> str:
    from ._help import Page, Table
    from ._verbs import VERBS

    rows = [(usage, _(text)) for usage, text in _OWN_HELP.items()]
    rows += [(VERBS[name].usage, _(VERBS[name].help)) for name in _VERBS if name in VERBS]
    return str(
        Page(
            "elumenta-nb " + _("COMMAND [options]"),
            (
                Table((_("Command"), _("What it does")), tuple(rows)),
                _(
                    "More on one of them: elumenta-nb COMMAND -h. In a notebook: %load_ext elumenta_nb, then %elumenta -h"
                ),
            ),
        )
    )


# -------------------------------------------------------------------- verbs of the magic


class Terminal:
    """A place without cells: what a verb shows is printed."""

    is_kernel = False
    is_live = True
    namespace: Mapping[str, Any] = {}

    def origin(self) -> Origin:
        from ._surroundings import origin

        return origin()

    def notebook_path(self) -> Path:
        raise BadParam(_("The price of which notebook?"), hint="elumenta-nb price NAME.ipynb --max-price 100")

    def show(self, data: Mapping[str, Any], _metadata: Any = None, *, slot: str = "") -> None:  # noqa: ARG002 - a Front
        print(data.get("text/plain", ""))

    def update(self, slot: str, data: Mapping[str, Any], metadata: Any = None) -> None:
        """Nothing: a line that was printed stays."""

    def clear(self) -> None:
        """Nothing: a line that was printed stays."""

    def next_cell(self, source: str) -> None:
        print(source)


def _verb(name: str, words: list[str]) -> int:
    from . import _session
    from ._parser import parse
    from ._verbs import VERBS, perform

    if name not in _VERBS or name not in VERBS:
        near = closest(name, _commands())
        raise BadParam(
            _("There is no command {name!r}.").format(name=name),
            hint=_("Did you mean {name}?").format(name=near) if near else "elumenta-nb help",
        )
    if name == "price" and any(word.endswith(".ipynb") and not word.startswith("-") for word in words):
        return _price_of_file(words)
    line = parse([name, *words], verbs=VERBS, lookup=_unknown)
    if line["help"]:
        return _explained(name)
    value = perform(VERBS[name], line, _session.current, Terminal(), _never)
    _print(value)
    return REFUSED if getattr(value, "problems", ()) else DONE


def _explained(name: str) -> int:
    """The page of a verb; first what only the terminal has of it."""
    from ._help import Page
    from ._verbs import help_page

    for usage, text in _OWN_HELP.items():
        if usage.startswith(f"{name} "):
            print(Page(f"elumenta-nb {usage}", (_(text),)), end="\n\n")
    print(_plain(str(help_page(name))))
    return DONE


def _unknown(slug: str) -> str:
    from . import _session
    from ._values import Ask

    return _session.current().resolve(Ask(model=slug)).category.name


def _never() -> Any:
    raise UnknownModel(_("Only a notebook can run its last cell again."))


def _print(value: Any) -> None:
    if hasattr(value, "to_string"):
        print(value.to_string() if len(value) else _("Nothing."))
    else:
        print(_plain(str(value)))


def _price_of_file(words: list[str]) -> int:
    """What running a saved notebook would cost; status 1 when that may be above ``--max-price``.

    What Python cells buy is not known, and so above any limit, unless ``--allow-unpriced`` leaves them to the reader.
    """
    from . import _session
    from ._notebook_price import price_of_notebook
    from ._verbs import VERBS

    options = (
        Option(flags=("max-price", "max"), takes="N", read=whole(0), help=""),
        Option(flags=("allow-unpriced",), help=""),
        Option(flags=("notebook",), help=""),  # as the magic says it: the file that follows is one
    )
    line = _read("price", options, words, most=1)
    if line["help"]:
        return _explained("price")
    price = price_of_notebook(_session.current(), Path(line.words[0]), verbs=VERBS)
    _print(price)
    limit = line["max-price"]
    above = limit is not None and price.is_above(limit, allow_unpriced=bool(line["allow-unpriced"]))
    return REFUSED if above else DONE


# -------------------------------------------------------------------- commands of our own


class Own(NamedTuple):
    """A command that is no verb of the magic; it takes at most `most` words."""

    usage: str
    options: tuple[Option, ...]
    run: Callable[[Line], int]
    most: int = 0


def _own(name: str, own: Own, words: list[str]) -> int:
    from ._help import about_verb

    usage, options, run, most = own
    line = _read(name, options, words, most)
    if line["help"]:
        print(
            str(about_verb(usage, _(_OWN_HELP[usage]), [row for row in options if row is not HELP])).replace(
                "%elumenta", "elumenta-nb"
            )
        )
        return DONE
    return run(line)


def _read(name: str, options: tuple[Option, ...], words: list[str], most: int = 0) -> Line:
    from ._parser import Grammar, parse

    verbs: dict[str, Grammar] = {name: Grammar(options=options, most=most)}
    return parse([name, *words], verbs=verbs, lookup=_unknown)


def _demo(_line: Line) -> int:
    from ._demo import run

    return run(Path.cwd(), print)


def _sandbox(line: Line) -> int:
    """Serve until interrupted."""
    import threading

    from ._config import load
    from .sandbox import serve

    home = load({}).home
    with serve(line["port"] or 0, state=home / "sandbox.sqlite") as server:
        print(_("The sandbox answers at {url}").format(url=server.url))
        print(_("Nothing there is charged, and nothing leaves this machine. In another terminal:"))
        print(f"  export ELUMENTA_BASE_URL={server.url} ELUMENTA_API_KEY={server.api_key}")
        print(_("Stop it with Ctrl-C."), flush=True)
        threading.Event().wait()
    return DONE


def _map(line: Line) -> int:
    return _cli_map.run(line, print)


_OWN_HELP: Final = {
    "demo": N_("run the quickstart notebook in the sandbox: no key, no cost"),
    _cli_map.USAGE: _cli_map.HELP,
    "price FILE.ipynb [--max-price N [--allow-unpriced]]": N_(
        "what running a notebook would cost; status 1 when it may be above N, as it is when cells in Python buy; "
        "--allow-unpriced leaves those out"
    ),
    "sandbox [--port N]": N_("serve the sandbox on this machine for other programs"),
}
_OWN: Final = {
    "demo": Own("demo", (), _demo),
    "map": Own(_cli_map.USAGE, _cli_map.OPTIONS, _map, most=1),
    "sandbox": Own(
        "sandbox [--port N]",
        (Option(flags=("port",), takes="N", read=whole(0), help=N_("where to listen; a free port without it")),),
        _sandbox,
    ),
}
