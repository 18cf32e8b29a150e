"""Settings: argument > environment > project file / user file > default, and where each one came from.

A project file travels with other people's repositories, so it may only choose what cannot hurt: never where the key
goes, where the ledger is, calls that are charged where the user chose the sandbox, what is stored bought again, or a
higher price without a question. Nothing is read at import.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from ._address import check_base_url
from ._errors import AuthFailed, ConfigError, NoKey
from ._keys import Address, KeyFile, Keyring, Secret, check_key, hidden
from ._language import LANGUAGES, gettext as _
from ._values import Reuse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["BASE_URL", "Settings", "changed", "load", "user_name"]

BASE_URL: Final = "https://elumenta.ru/api/v2"  # en/quickstart
Mode = Literal["live", "sandbox", "only"]
_REUSE: Final = ("off", "media", "all", "only")  # each buys less than the one before
_FORMS: Final = ("params", "flat")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is in force. Token figures are Elumenta tokens, `confirm_above` 0 never asks; times are seconds."""

    api_key: Secret | None = None
    base_url: str = BASE_URL
    mode: Literal["live", "sandbox"] | None = None
    home: Path
    ledger_url: str = ""
    media_dir: Path | None = None
    reuse: Reuse | None = None
    confirm_above: int = 100
    lang: str | None = None
    request_form: Literal["params", "flat"] = "params"  # api R1: nested in `params`, or at the top level
    job_timeout_s: float = 1800
    sources: Mapping[str, str]

    def where(self) -> Mode:
        """Where calls go. Raises `NoKey` when nothing was chosen, naming where it looked and the ways out."""
        if self.mode == "sandbox":
            return "only" if self.reuse == "only" else "sandbox"
        if self.api_key is not None:
            return "live"
        if self.reuse == "only":
            return "only"
        raise NoKey(
            _("There is no API key, and no sandbox was chosen."),
            hint=_(
                "With a key: %elumenta login (looked at ELUMENTA_API_KEY, {file} and the keyring)\n"
                "Without one, free of charge: %elumenta sandbox on"
            ).format(file=KeyFile(self.home).path),
        )

    def ledger(self) -> str | Path:
        """Where the ledger is: a SQLAlchemy URL, or a file of SQLite."""
        return self.ledger_url or self.home / "ledger.sqlite"

    def explain(self) -> list[dict[str, str]]:
        """A row per setting: its name, its value with secrets masked, and where it came from."""
        rows = []
        for name in _SPECS:
            value = getattr(self, name)
            if name == "api_key":
                shown = value.last_four if value else "–"
            elif name == "ledger_url":
                shown = Address(self.ledger()).shown
            else:
                shown = "–" if value is None else str(value)
            rows.append({"setting": name, "value": shown, "from": self.sources.get(name, "default")})
        return rows


def _choice(*allowed: str) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if value not in allowed:
            raise ConfigError(_("{value!r} is not one of {allowed}.").format(value=value, allowed=", ".join(allowed)))
        return value

    return read


def _whole(value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = -1
    if number < 0 or isinstance(value, bool):
        raise ConfigError(_("{value!r} is not a number of tokens.").format(value=value))
    return number


def _seconds(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not 0 < number < float("inf"):
        raise ConfigError(_("{value!r} is not a length of time in seconds.").format(value=value))
    return number


def _folder(value: Any) -> Path:
    return Path(str(value)).expanduser()


def _key(value: Any) -> Secret:
    return check_key(value if isinstance(value, Secret) else str(value))


@dataclass(frozen=True, slots=True)
class _Spec:
    """How one setting is read, and whether a project file may set it."""

    read: Callable[[Any], Any]
    env: str = ""
    project: bool = False
    user_file: bool = True


_SPECS: Final[dict[str, _Spec]] = {
    "api_key": _Spec(_key, "ELUMENTA_API_KEY", user_file=False),
    "base_url": _Spec(check_base_url, "ELUMENTA_BASE_URL"),
    "mode": _Spec(_choice("live", "sandbox"), "ELUMENTA_MODE", project=True),
    "home": _Spec(_folder, "ELUMENTA_HOME", user_file=False),
    "ledger_url": _Spec(Address, "ELUMENTA_LEDGER_URL"),
    "media_dir": _Spec(_folder, "ELUMENTA_MEDIA_DIR"),
    "reuse": _Spec(_choice(*get_args(Reuse)), "ELUMENTA_REUSE", project=True),
    "confirm_above": _Spec(_whole, "ELUMENTA_CONFIRM_ABOVE", project=True),
    "lang": _Spec(_choice(*LANGUAGES), "ELUMENTA_LANG", project=True),
    "request_form": _Spec(_choice(*_FORMS), "ELUMENTA_REQUEST_FORM"),
    "job_timeout_s": _Spec(_seconds, "ELUMENTA_JOB_TIMEOUT"),
}


def load(
    arguments: Mapping[str, Any], *, environ: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Settings:
    """The settings in force. Raises `ConfigError` that names the setting and where the bad value stands."""
    arguments = hidden(arguments)
    _known_names(arguments)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}

    def offer(name: str, value: Any, source: str) -> None:
        if name in values or value is None or value in ("", Secret("")):
            return
        try:
            values[name] = _SPECS[name].read(value)
        except ConfigError as error:
            raise ConfigError(f"{source}: {error}", hint=error.hint) from None
        except AuthFailed as error:
            raise AuthFailed(f"{source}: {error}", hint=error.hint) from None
        sources[name] = source

    for name, value in arguments.items():
        offer(name, value, _("argument"))
    for name, value in _from_environment(environ):
        offer(name, value, _SPECS[name].env)
    home = values.setdefault("home", _default_home())
    for name, value, source in _from_files(home, cwd or Path.cwd()):
        is_allowed = not source.endswith("pyproject.toml") or _is_stricter(name, value, home)
        offer(name, value if is_allowed else None, source)
    if "api_key" not in values:
        _offer_stored_key(home, offer)
    return Settings(**values, sources=sources)


def _known_names(arguments: Mapping[str, Any]) -> None:
    if unknown := set(arguments) - set(_SPECS):
        from ._catalog import closest

        name = min(unknown)
        near = closest(name, _SPECS)
        raise ConfigError(
            _("There is no setting {name!r}.").format(name=name),
            hint=_("Did you mean {name}?").format(name=near) if near else ", ".join(_SPECS),
        )


def _from_environment(environ: Mapping[str, str] | None) -> list[tuple[str, Any]]:
    found = os.environ if environ is None else environ
    return list(hidden({name: found.get(spec.env) for name, spec in _SPECS.items()}).items())


def _default_home() -> Path:
    from platformdirs import user_data_path

    return user_data_path("elumenta_nb", appauthor=False)


def _from_files(home: Path, cwd: Path) -> Iterator[tuple[str, Any, str]]:
    for folder in (cwd, *cwd.parents):
        project = folder / "pyproject.toml"
        if project.is_file():
            tool = _read_toml(project).get("tool")
            table = tool.get("elumenta") if isinstance(tool, dict) else None
            yield from _allowed(table, project, project=True)
            break
    user = home / "config.toml"
    if user.is_file():
        yield from _allowed(_read_toml(user), user, project=False)


def _allowed(table: Any, path: Path, *, project: bool) -> Iterator[tuple[str, Any, str]]:
    if not isinstance(table, dict):
        return
    for name, value in table.items():
        spec = _SPECS.get(name)
        if name == "keyring" and not project:
            continue
        if spec is None or not (spec.project if project else spec.user_file):
            raise ConfigError(
                _("{path}: the setting {name!r} cannot be set here.").format(path=path, name=name),
                hint=_("Remove the line, or use the environment (ELUMENTA_…)."),
            )
        yield name, value, str(path)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        if path.name == "pyproject.toml":  # somebody else's file: not ours to complain about
            return {}
        raise ConfigError(_("{path} cannot be read: {why}").format(path=path, why=error)) from None


def _is_stricter(name: str, value: Any, home: Path) -> bool:
    """Whether a project may say so: consent asked for earlier than the user wants it, the sandbox, no less reuse.

    What cannot be read may pass: it is refused by its name.
    """
    own = _read_toml(home / "config.toml").get(name, Settings.__dataclass_fields__[name].default)
    if name == "mode":
        return bool(value != "live")
    if name == "reuse":
        return value not in _REUSE or _REUSE.index(value) >= _REUSE.index(own if own in _REUSE else "all")
    if name != "confirm_above":
        return True
    try:
        most = _whole(own)
    except ConfigError:  # told when the user's own file is read
        return False
    return isinstance(value, int) and value > 0 and (not most or value < most)


def _offer_stored_key(home: Path, offer: Callable[[str, Any, str], None]) -> None:
    file = KeyFile(home)
    offer("api_key", file.read(), str(file.path))
    if _read_toml(home / "config.toml").get("keyring"):
        offer("api_key", Keyring(home).read(), "keyring")


def changed(settings: Settings, **values: Any) -> Settings:
    """The settings with some replaced, for what a line of a notebook chose."""
    return replace(settings, **values)


def user_name(environ: Mapping[str, str]) -> str:
    """Who runs this: on a hub its user, for a container's is the same for all."""
    if name := environ.get("JUPYTERHUB_USER"):
        return name
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return ""
