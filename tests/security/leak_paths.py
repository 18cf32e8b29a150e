"""The ways in which a key gets out of a notebook, each as a cell to run or a file to read; and a way to find a key again.

Every path has a `plant`: code that lets a made-up key out by that very path. It shows that the path would be seen.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

WINDOW = 12  # so many letters of a key in a row are a leak, however they are cut


def planted(name: str) -> str:
    """The made-up key of one path. The notebook makes it by the same rule, so that no source holds it."""
    return "nb_" + hashlib.sha512(name.encode()).hexdigest()[:45]


def traces(place: str | bytes, key: str) -> set[str]:
    """The forms in which the key is in there: as it is, a part of it, encoded, turned round."""
    data = place.encode("utf-8", "surrogateescape") if isinstance(place, str) else place
    body = key.removeprefix("nb_")
    forms = {f"part {at}": body[at : at + WINDOW].encode() for at in range(len(body) - WINDOW + 1)}
    forms |= {
        "turned round": key[::-1][:24].encode(),
        "utf-16": body[:16].encode("utf-16-le"),
        "utf-16 be": body[:16].encode("utf-16-be"),
        "utf-32": body[:16].encode("utf-32-le"),
        "hex": body[:16].encode().hex().encode(),
        "percent": "".join(f"%{byte:02X}" for byte in body[:8].encode()).encode(),
        "codes": ", ".join(str(byte) for byte in body[:10].encode()).encode(),
    }
    for shift in range(3):  # where the key begins within three bytes decides how it looks in base64
        coded = base64.b64encode(b"x" * shift + key.encode())
        forms[f"base64 {shift}"] = coded[4 : 4 + 24]
    return {name.split()[0] if name.startswith("part") else name for name, form in forms.items() if form in data}


PRELUDE = r"""
%load_ext elumenta_nb
import asyncio, collections, copy, gc, hashlib, importlib, io, json, logging, os, pathlib, pickle, sqlite3, sys, threading
import time, traceback, types, warnings
import elumenta_nb as el
from elumenta_nb._values import Ask, Origin
ip = get_ipython()
HOME, ECHO = pathlib.Path(os.environ["ELUMENTA_HOME"]), os.environ["ECHO_URL"]

def plant(name):
    return "nb_" + hashlib.sha512(name.encode()).hexdigest()[:45]

def failed(do, *args, **kwargs):
    "The error of it: there must be one."
    try:
        do(*args, **kwargs)
    except BaseException as error:
        return error
    raise AssertionError("no error")

def with_locals(error):
    "As cgitb, pytest --showlocals and error reporters write it: every frame of every error of the chain, with its variables."
    seen, lines = set(), []
    def one(error):
        if error is None or id(error) in seen:
            return
        seen.add(id(error))
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
        lines.extend(told.format())
        at = error.__traceback__
        while at is not None:
            if at.tb_frame.f_globals is not globals():  # the person's own variables are the person's
                for name, value in list(at.tb_frame.f_locals.items()):
                    lines.append(f"{name} = {value!r}")
                    lines.append(f"{name}: {getattr(value, '__dict__', '')!r}")
            at = at.tb_next
        one(error.__cause__); one(error.__context__)
    one(error)
    return "\n".join(lines)

def deep(*roots, most=60_000):
    "What a variable inspector can reach: attributes, slots, items, defaults and constants; not what a closure hides."
    todo, seen, out = collections.deque(roots), set(), []
    while todo and len(seen) < most:
        thing = todo.popleft()
        if id(thing) in seen or thing is os.environ or thing is sys.modules:
            continue
        seen.add(id(thing))
        if isinstance(thing, (str, bytes, bytearray)):
            out.append(str(thing)[:2000])
            continue
        if isinstance(thing, types.ModuleType):
            if thing.__name__.split(".")[0] == "elumenta_nb":
                todo.extend(vars(thing).values())
            continue
        if isinstance(thing, type) and not thing.__module__.startswith("elumenta_nb"):
            continue
        if isinstance(thing, (dict, types.MappingProxyType)):
            todo.extend(list(thing)); todo.extend(list(thing.values()))
        elif isinstance(thing, (list, tuple, set, frozenset, collections.deque)):
            todo.extend(list(thing))
        elif isinstance(thing, types.FunctionType):
            todo.extend([thing.__defaults__, thing.__kwdefaults__, thing.__dict__, thing.__code__.co_consts])
            continue
        elif isinstance(thing, types.MethodType):
            todo.append(thing.__self__)
            continue
        if hasattr(thing, "__dict__"):
            todo.append(vars(thing))
        for kind in type(thing).__mro__:
            for name in getattr(kind, "__slots__", ()) or ():
                if isinstance(name, str) and name not in ("__dict__", "__weakref__"):
                    try:
                        todo.append(getattr(thing, name, None))
                    except Exception as error:
                        out.append(repr(error))
        if type(thing).__module__.startswith(("elumenta_nb", "httpx")):
            out.append(repr(thing))
    assert len(seen) > 200, len(seen)
    return "\n".join(out).encode("utf-8", "backslashreplace").decode()

log = io.StringIO()
_handler = logging.StreamHandler(log)
logging.getLogger().addHandler(_handler)
logging.getLogger().setLevel(logging.DEBUG)
for _name in ("httpx", "httpcore", "anyio", "asyncio", "sqlalchemy", "sqlalchemy.engine", "sqlalchemy.pool", "urllib3", "PIL"):
    logging.getLogger(_name).setLevel(logging.DEBUG)
    logging.getLogger(_name).propagate = True
warned = io.StringIO()
warnings.simplefilter("always")
warnings.showwarning = lambda *args, **kw: warned.write(warnings.formatwarning(*args[:4]) + repr(args))
import faulthandler
echoing = el.Session(base_url=ECHO, home=HOME / "echoing", reuse="off")
own = el.Session(home=HOME / "own")
"""


@dataclass(frozen=True)
class Way:
    """One way out. `cell` is run in the kernel and its outputs are read; with `file`, what matches below the room is read."""

    cell: str = ""
    plant: str = ""
    file: str = ""


def shown(code: str, plant: str) -> Way:
    return Way(cell=code, plant=plant)


PRINTED = "print('leaked', plant(NAME))"
ECHO_PLANT = PRINTED  # the server repeats the real key by itself; this shows that the cell is read

PATHS: dict[str, Way] = {
    # ------------------------------------------------------------ what cells show
    "output of a text": shown("%%elumenta text gpt-5-nano --max-price 5\nWhat is a harbour?", PRINTED),
    "output of a picture": shown("%%elumenta image dall-e-3 --max-price 20\nA harbour", PRINTED),
    "output of a failed cell": shown("%%elumenta text gpt-5-nano --temperature 99\nWhat is a harbour?", PRINTED),
    "status card": shown("%elumenta", PRINTED),
    "config": shown("%elumenta config", PRINTED),
    "doctor": shown("%elumenta doctor", PRINTED),
    "spend and account tables": shown(
        "display(el.spend(columns='all'), el.account_history(), el.me(), el.stats(), el.budgets(), el.jobs())", PRINTED
    ),
    "panel and its widgets": shown("display(el.panel('text'), el.dashboard(), el.jobs_panel())", PRINTED),
    "login without a way to ask": shown("%elumenta login", PRINTED),
    "login, its messages, and the environment": shown(
        r"""
import getpass
real, getpass.getpass = getpass.getpass, lambda prompt="": (print(prompt), os.environ["ELUMENTA_API_KEY"])[1]
before = {name: hash(value) for name, value in os.environ.items()}
%elumenta login
%elumenta config
%elumenta logout
print({name: value for name, value in os.environ.items() if before.get(name) != hash(value)})
getpass.getpass = real
""",
        PRINTED,
    ),
    "login of what is almost a key": shown(
        r"""
almost = lambda: os.environ["ELUMENTA_API_KEY"] + '"'
for do in (lambda: el.Session(api_key=almost()), lambda: el.configure(api_key=almost()), lambda: el.session().login(almost())):
    error = failed(do)
    print(type(error), error, error.hint, vars(error), error.args)
    print(with_locals(error))
""",
        "print(with_locals(failed(lambda almost=plant(NAME): 1 / 0, )) + plant(NAME)[:15])",
    ),
    # ------------------------------------------------------------ what objects tell of themselves
    "repr, str, format": shown(
        r"""
s = el.session(); services = s.services()
for thing in (s, s.settings, s.settings.api_key, services, services.client, services.client._line, services.ledger, own,
              services.store, services.prices, services.purse, services.writer, el.generate("gpt-5-nano", "repr"), s.status()):
    print(repr(thing), str(thing), f"{thing}", "%s %r" % (thing, thing))
""",
        "print(repr({'key': plant(NAME)}))",
    ),
    "vars, as deep as they go": shown(
        "print(deep(el.session(), echoing, own, *[m for n, m in sys.modules.items() if n.startswith('elumenta_nb')]))",
        "el.session()._planted = [{'headers': {'Authorization': 'Bearer ' + plant(NAME)}}]",
    ),
    "strings that are kept alive": shown(
        r"""
def holders(wanted):
    "Kinds of the objects that hold a text or bytes with it, but for the closures that are meant to and the environment."
    gc.collect()
    found = []
    mine = {id(os.environ), id(os.environ._data), id(globals())}
    for thing in gc.get_objects():
        if id(thing) in mine or isinstance(thing, types.FrameType):
            continue
        for inner in gc.get_referents(thing):
            text = inner if isinstance(inner, str) else inner.decode("latin-1") if isinstance(inner, bytes) else ""
            if wanted in text and not isinstance(thing, types.CellType):
                found.append((type(thing), text))
    return found
el.session().balance()
print(holders(os.environ["ELUMENTA_API_KEY"]), holders(plant("strings that are kept alive")))
""",
        "PLANTED = ['Bearer ' + plant(NAME)]",
    ),
    "dir, help, source, completion": shown(
        r"""
session = el.session()
for name in ("session", "session.settings", "session.settings.api_key", "el.generate", "session.services"):
    print(ip.inspector._get_info(ip._ofind(name).obj, name, None, None, 1))
for text in ("session.", "session.settings.", "session.settings.api_key.", "%elumenta login ", "%elumenta config ", "%%elumenta "):
    print(ip.complete(text))
help(session.settings.api_key); print(dir(session), dir(session.settings.api_key))
from IPython.core.completer import provisionalcompleter
with provisionalcompleter():
    for text in ("session.settings.api_key().", "session.settings.", "vars(session)['"):
        print(list(ip.Completer.completions(text, len(text))))
""",
        "print(ip.inspector._get_info(type('x', (), {'__doc__': plant(NAME)}), 'x', None, None, 1))",
    ),
    "who and whos": shown(
        "session = el.session(); secret = session.settings.api_key\n%who\n%whos", "planted_key = plant(NAME)"
    ),
    # ------------------------------------------------------------ copies
    "pickle": shown(
        r"""
s = el.session()
for thing in (s, s.settings, s.settings.api_key, s.services(), s.services().client, el.generate("gpt-5-nano", "pickled"),
              s.balance(), s.me(), failed(el.generate, "no-such-model", "x"), s.status(), s.limits):
    for protocol in range(6):
        try:
            print(pickle.dumps(thing, protocol))
        except Exception as error:
            print(type(error), error, vars(error))
""",
        "print(pickle.dumps({'a': plant(NAME)}))",
    ),
    "copy and deepcopy": shown(
        r"""
s = el.session()
for thing in (s, s.settings, s.settings.api_key, s.services().client, el.generate("gpt-5-nano", "copied"), s.status()):
    for do in (copy.copy, copy.deepcopy):
        try:
            made = do(thing)
        except TypeError as error:
            print(error)
        else:
            print(repr(made), getattr(made, "__dict__", ""))
""",
        "print(copy.deepcopy({'a': plant(NAME)}))",
    ),
    "closures sent to workers": shown(
        r"""
import cloudpickle
session = el.session(); secret = session.settings.api_key; client = session.services().client
def uses_module(prompt): return el.generate("gpt-5-nano", prompt)
def uses_session(prompt): return session.generate("gpt-5-nano", prompt)
def uses_key(): return secret()
def make():
    kept = session
    return lambda: kept.balance()
for thing in (uses_module, uses_session, uses_key, make(), el.generate, el.spend, client.create, session.generate, el):
    try:
        print(cloudpickle.dumps(thing))
    except Exception as error:
        print(type(error), error)
""",
        "PLANT = plant(NAME)\nimport cloudpickle\nprint(cloudpickle.dumps(lambda: PLANT))",
    ),
    "a graph of Dask": shown(
        r"""
import cloudpickle, dask
graph = dask.delayed(el.generate)("gpt-5-nano", dask.delayed(str)("in a graph"))
print(graph, dict(graph.dask), cloudpickle.dumps(graph))
print(dask.compute(graph, scheduler="threads"))
try:
    print(cloudpickle.dumps(dask.delayed(el.session().generate)("gpt-5-nano", "x")))
except Exception as error:
    print(type(error), error)
""",
        "import dask, cloudpickle\nprint(cloudpickle.dumps(dask.delayed(len)(plant(NAME))))",
    ),
    "a map, and what it tells the workers of a cluster": shown(
        r"""
import pandas as pd
from elumenta_nb._batch._cluster import deal_of
frame = pd.DataFrame({"what": ["one", "two"]})
plan = el.map(frame, "say {{ what }}", model="gpt-5-nano", dry_run=True)
rows = el.map(frame, "say {{ what }}", model="gpt-5-nano", budget=50)
display(plan, rows, el.last_map, rows.elumenta.results())
deal = deal_of(el.last_map._prepared, el.session(), width=2, on_error="keep")
print(repr(plan), rows.to_csv(), rows.attrs, repr(el.last_map), pickle.dumps(rows), deal, pickle.dumps(deal), deep(el.last_map, most=10_000))
try:
    print(pickle.dumps(el.last_map))
except Exception as error:
    print(type(error), error)
""",
        PRINTED,
    ),
    # ------------------------------------------------------------ errors
    "traceback in the notebook, Verbose": shown(
        r"""
%xmode Verbose
class Bad:
    def __call__(self, event): raise ZeroDivisionError("a view that fails")
    def tick(self): raise ZeroDivisionError("a view that fails")
el.session().run(Ask(model="gpt-5-nano", prompt="verbose"), Origin(source="python"), Bad())
""",
        "%xmode Verbose\ndef _leaks(secret):\n    local = secret\n    try:\n        1 / 0\n    except ZeroDivisionError:\n        ip.showtraceback()\n_leaks(plant(NAME))\n",
    ),
    "traceback with the variables of every frame": shown(
        r"""
class Bad:
    def __call__(self, event): raise ZeroDivisionError
    def tick(self): raise ZeroDivisionError
s = el.session()
print(with_locals(failed(s.run, Ask(model="gpt-5-nano", prompt="locals"), Origin(source="python"), Bad())))
for error in (failed(el.generate, "gpt-5-nano", "x", temperature=99), failed(el.generate, "no-such-model", "x"),
              failed(own.generate, "gpt-5-nano", ""), failed(el.session().show, 10**9)):
    print(with_locals(error))
""",
        "def _leaks(secret): exec('1 / 0', {'secret': secret})\nprint(with_locals(failed(_leaks, plant(NAME))))",
    ),
    "settings that are wrong, beside a key": shown(
        r"""
key = lambda: os.environ["ELUMENTA_API_KEY"]
for do in (lambda: el.Session(api_key=key(), confirm_above=-1), lambda: el.configure(api_key=key(), lang="xx"),
           lambda: el.Session(api_key=key(), no_such_setting=1), lambda: el.session().change(api_key=key(), reuse="x"),
           lambda: el.Session(base_url="ftp://x"), lambda: el.Session(home=HOME / "own", job_timeout_s="soon"),
           lambda: el.Session(api_key=key(), base_url="http://not.local/")):
    error = failed(do)
    print(with_locals(error), vars(error))
""",
        "print(with_locals(failed(lambda: exec('1 / 0', {'settings': {'api_key': plant(NAME)}}))))",
    ),
    "a key that cannot be kept": shown(
        r"""
(HOME / "a-file").write_text("this is no folder")
s = el.Session(home=HOME / "a-file" / "home", reuse="only")
error = failed(lambda: s.login(os.environ["ELUMENTA_API_KEY"]))
print(with_locals(error), vars(error))
""",
        PRINTED,
    ),
    "rich, with variables": shown(
        r"""
from rich.console import Console
from rich.traceback import Traceback
def rich_text(error):
    out = io.StringIO()
    told = Traceback.from_exception(type(error), error, error.__traceback__, show_locals=True, locals_max_length=None,
                                    locals_max_string=None, locals_hide_dunder=False, locals_hide_sunder=False)
    Console(file=out, width=10_000, color_system=None).print(told)
    return out.getvalue()
key = lambda: os.environ["ELUMENTA_API_KEY"]
for error in (failed(lambda: el.Session(api_key=key(), confirm_above=-1)), failed(echoing.generate, "gpt-5", "refuse")):
    print(rich_text(error))
from rich.pretty import pretty_repr
print(pretty_repr(vars(el.session()), max_depth=3), pretty_repr(el.session().settings))
""",
        "def _leaks(secret):\n    1 / 0\nfrom rich.console import Console\nfrom rich.traceback import Traceback\n"
        "_e = failed(_leaks, plant(NAME))\n"
        "Console(width=10_000, color_system=None).print(Traceback.from_exception(type(_e), _e, _e.__traceback__, show_locals=True))",
    ),
    "the chain under an error of the network": shown(
        r"""
import socket
closed = socket.socket(); closed.bind(("127.0.0.1", 0)); port = closed.getsockname()[1]; closed.close()
for url in (f"http://127.0.0.1:{port}/api/v2", f"https://127.0.0.1:{port}/api/v2", ECHO.replace("/api/v2", "/drop")):
    s = el.Session(base_url=url, home=HOME / "chain", reuse="off")
    s.services().client._sleep = lambda seconds: asyncio.sleep(0)
    error = failed(s.balance)
    while error is not None:
        print(repr(error), vars(error), with_locals(error))
        error = error.__cause__ or error.__context__
    s.close()
""",
        "def _leaks(secret):\n    try:\n        exec('1 / 0', {'headers': secret})\n    except ZeroDivisionError as e:\n        raise OSError from e\n"
        "print(with_locals(failed(_leaks, plant(NAME))))",
    ),
    "what is left of an error in sys and pdb": shown(
        r"""
import pdb
ip.run_cell("el.generate('gpt-5-nano', 'x', temperature=99)", store_history=False)
error = getattr(sys, "last_value", None)
print(with_locals(error)) if error else print("none")
out = io.StringIO()
debugger = pdb.Pdb(stdout=out, stdin=io.StringIO("up\nargs\npp locals()\nup\nargs\npp locals()\nup\npp locals()\nq\n"))
debugger.use_rawinput = False
debugger.reset(); debugger.interaction(None, failed(el.generate, "gpt-5-nano", "x", temperature=99).__traceback__)
print(out.getvalue())
""",
        "sys.last_value = failed(lambda: exec('1 / 0', {'x': plant(NAME)}))\nprint(with_locals(sys.last_value))",
    ),
    # ------------------------------------------------------------ a server that repeats what it was sent
    "a reply that repeats the key": shown(
        r"""
r = echoing.generate("gpt-5", "echo")
print(r, repr(r), r.text, r.raw, vars(r) if hasattr(r, "__dict__") else "", pickle.dumps(r), r._repr_mimebundle_())
""",
        ECHO_PLANT,
    ),
    "a stream that repeats the key": shown(
        r"""
pieces = echoing.stream("gpt-5", "echo")
print("pieces", list(pieces)); print(pieces.result, pieces.result.raw)
cut = echoing.stream("gpt-5", "echo and fail")
error = failed(list, cut)
print(error, vars(error), error.partial)
""",
        ECHO_PLANT,
    ),
    "an error that repeats the key": shown(
        r"""
error = failed(echoing.generate, "gpt-5", "refuse")
print(error, error.hint, vars(error), error.details, error.args, pickle.dumps(error), "\n".join(error._render_traceback_()))
raise error
""",
        ECHO_PLANT,
    ),
    "an account that is called like the key": shown(
        r"""
print(echoing.balance(), echoing.me(), echoing.stats(), echoing.served_models(), echoing.account_history().to_csv(), echoing.spend(columns="all").to_csv(), echoing.doctor())
""",
        ECHO_PLANT,
    ),
    # ------------------------------------------------------------ what the process writes down
    "logging at DEBUG": shown(
        r"""
import httpx
from elumenta_nb._client import Client
client = Client(base_url=os.environ["ELUMENTA_BASE_URL"], key=el.session().settings.api_key,
                transport_factory=lambda route: httpx.AsyncHTTPTransport())  # as behind a proxy
print(await client.balance())
await client.aclose()
print(log.getvalue()); assert 'send_request_headers' in log.getvalue()
""",
        "logging.getLogger('httpx').debug('Authorization: Bearer %s', plant(NAME))",
    ),
    "warnings": shown("print(warned.getvalue())", "warnings.warn('unclosed ' + plant(NAME), ResourceWarning)"),
    "frames of running threads and tasks": shown(
        r"""
def running():
    lines = []
    for frame in list(sys._current_frames().values()):
        while frame is not None:
            if frame.f_globals is not globals():
                lines.append(repr(dict(frame.f_locals)))
            frame = frame.f_back
    for task in [one for one in gc.get_objects() if isinstance(one, asyncio.Task)]:
        lines.append(repr(task))
        at = task.get_coro()
        while at is not None:
            frame = getattr(at, "cr_frame", None) or getattr(at, "ag_frame", None)
            if frame is not None:
                lines.append(repr(dict(frame.f_locals)))
            at = getattr(at, "cr_await", None) or getattr(at, "ag_await", None)
    return lines
handle = echoing.submit("gpt-5", "wait")
time.sleep(0.3)  # sent; from here on it only waits
seen = []
while not handle.done():
    seen += running(); time.sleep(0.05)
handle.result()
print(len(seen)); print("\n".join(seen)); assert any("Exchange" in line for line in seen)
""",
        "_elsewhere = {'time': time}\nexec('def waits(secret): time.sleep(3)', _elsewhere)\n"
        "threading.Thread(target=_elsewhere['waits'], args=(plant(NAME),), daemon=True).start()",
    ),
    "names of threads and tasks": shown(
        "el.balance()\nprint(threading.enumerate(), [t.name for t in threading.enumerate()], [repr(t) for t in gc.get_objects() if isinstance(t, asyncio.Task)])",
        "threading.Thread(target=time.sleep, args=(2,), name=plant(NAME), daemon=True).start()",
    ),
    "a key typed into a cell: history and variables": shown(
        r"""
result = ip.run_cell(f'mine = "{os.environ["ELUMENTA_API_KEY"]}"', store_history=True)
print(type(result.error_in_exec or result.error_before_exec), result.error_in_exec, result.error_before_exec)
assert "mine" not in ip.user_ns
import linecache
print(ip.user_ns["In"], ip.user_ns["_ih"], [ip.user_ns.get(n) for n in ("_i", "_ii", "_iii", "_i1")], ip.history_manager.input_hist_raw)
print([entry[2] for entry in linecache.cache.values() if len(entry) > 2 and "ipykernel" in str(entry[3])])
""",
        PRINTED,
    ),
    "history, as it is shown": shown(
        "%history -g\n%history -n 1-200\n",
        "ip.history_manager.store_inputs(9000, 'x = ' + repr(plant(NAME)))\nip.history_manager.writeout_cache()",
    ),
    # ------------------------------------------------------------ files
    "history on disk": Way(
        file="ipython/**/history.sqlite*",
        plant="ip.history_manager.store_inputs(9001, plant(NAME)); ip.history_manager.writeout_cache()",
    ),
    "ledger, with its journal": Way(
        file="home/**/ledger.sqlite*",
        plant="own.generate('gpt-5-nano', 'tagged', tag=plant(NAME), reuse='off'); own.ledger()",
    ),
    "results and their sidecars": Way(
        file="work/elumenta_media/**/*", plant="el.generate('gpt-5-nano', 'what is ' + plant(NAME), reuse='all')"
    ),
    "everything else below the home": Way(file="home/**/[!l]*", plant="(HOME / 'notes.txt').write_text(plant(NAME))"),
    "a crash report": Way(
        cell=r"""
from IPython.core.crashhandler import CrashHandler
class App:
    name, config, user, ipython_dir = "ipython", ip.config, "me", os.environ["IPYTHONDIR"]
pathlib.Path("../crash").mkdir(exist_ok=True)
errors = [failed(el.generate, "no-such-model", "x"), failed(echoing.generate, "gpt-5", "refuse"), failed(own.generate, "gpt-5-nano", "")]
handler = CrashHandler(App(), "me", "me@example.org")
for n, error in enumerate(errors):
    text = "".join(traceback.format_exception(error)) + with_locals(error)
    pathlib.Path(f"../crash/{n}.txt").write_text(handler.make_report(text))
with open("../crash/faults.txt", "w") as file:
    faulthandler.dump_traceback(file, all_threads=True)
""",
        plant="pathlib.Path('../crash').mkdir(exist_ok=True); pathlib.Path('../crash/core.txt').write_text(plant(NAME))",
        file="crash/*",
    ),
    "the saved notebook, with the state of its widgets": Way(
        file="work/saved.ipynb", plant="import ipywidgets\ndisplay(ipywidgets.Password(value=plant(NAME)))"
    ),
    "the page nbconvert makes of it": Way(file="work/saved.html", plant=PRINTED),
}


def slug(name: str) -> str:
    return re.sub(r"\W+", "-", name).strip("-")
