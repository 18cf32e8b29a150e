"""Settings: argument > environment > project file / user file > default, and where each one came from.

A project file travels with other people's repositories, so it may only choose what cannot hurt: never where the key
goes, where the ledger is, or a higher price without a question. Nothing is read at import.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, get_args
from urllib.parse import urlsplit

from ._errors import AuthFailed, ConfigError, NoKey
from ._language import LANGUAGES, gettext as _
from ._values import Reuse

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BASE_URL", "KeyFile", "Secret", "Settings", "check_key", "is_loopback", "load"]

BASE_URL: Final = "https://elumenta.ru/api/v2"  # en/quickstart
Mode = Literal["live", "sandbox", "only"]
PLACEHOLDER: Final = "nb_YOUR_API_KEY"
_KEY: Final = re.compile(r"nb_[\w.\-]{4,}", re.ASCII)
_FORMS: Final = ("params", "flat")


class Secret:
    """An API key that does not show: `repr`, `str`, `vars`, pickle and copy never hold it. Call it to get it."""

    __slots__ = ("_reveal",)

    def __init__(self, value: str) -> None:
        def reveal() -> str:
            return value

        self._reveal: Callable[[], str] = reveal

    def __call__(self) -> str:
        return self._reveal()

    @property
    def last_four(self) -> str:
        return f"nb_…{self()[-4:]}"

    def __repr__(self) -> str:
        return f"Secret({self.last_four})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self() == other()

    __hash__ = None  # type: ignore[assignment]  # a set of keys has no use

    def __reduce__(self) -> NoReturn:
        raise TypeError(_("An API key cannot be pickled."))


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
            return "sandbox"
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

    def ledger(self) -> str:
        """The SQLAlchemy URL of the ledger."""
        return self.ledger_url or f"sqlite:///{self.home / 'ledger.sqlite'}"

    def explain(self) -> list[dict[str, str]]:
        """A row per setting: its name, its value with secrets masked, and where it came from."""
        rows = []
        for name in _SPECS:
            value = getattr(self, name)
            if name == "api_key":
                shown = value.last_four if value else "–"
            elif name == "ledger_url":
                shown = re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", self.ledger())
            else:
                shown = "–" if value is None else str(value)
            rows.append({"setting": name, "value": shown, "from": self.sources.get(name, "default")})
        return rows


class KeyFile:
    """The key as a file that only its owner can read (0600), in `home`."""

    def __init__(self, home: Path) -> None:
        self.path = home / "key"

    def read(self) -> Secret | None:
        """The key, or ``None``. Raises `ConfigError` when others can read the file."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        if os.name == "posix" and status.st_mode & 0o077:
            raise ConfigError(
                _("Other people can read your key file {path}.").format(path=self.path),
                hint=f"chmod 600 {self.path}",
            )
        text = self.path.read_text(encoding="ascii", errors="replace").strip()
        return check_key(text) if text else None

    def write(self, key: Secret) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self.path.with_suffix(".new")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:  # noqa: PTH123 - the mode must hold from the first byte
            file.write(key() + "\n")
        draft.replace(self.path)

    def remove(self) -> bool:
        existed = self.path.exists()
        self.path.unlink(missing_ok=True)
        return existed


def check_key(text: str) -> Secret:
    """The key, if it looks like one (`nb_…`, en/authentication). Raises `AuthFailed` naming what is wrong."""
    text = text.strip()
    hint = _("Keys are made at elumenta.ru/web, Profile, API Keys; then: %elumenta login")
    if text == PLACEHOLDER:
        raise AuthFailed(_("nb_YOUR_API_KEY is the placeholder of the documentation, not a key."), hint=hint)
    if not _KEY.fullmatch(text):
        raise AuthFailed(_("That is not an Elumenta key: a key begins with nb_ and has no spaces."), hint=hint)
    return Secret(text)


def is_loopback(host: str | None) -> bool:
    """Whether the host name is this machine: localhost, 127.0.0.0/8 or ::1."""
    if not host:
        return False
    return host in {"localhost", "::1"} or bool(re.fullmatch(r"127(\.\d{1,3}){3}", host))


def check_base_url(url: str) -> str:
    """The base URL without a trailing slash. Raises `ConfigError` for plain http off this machine or an odd URL."""
    parts = urlsplit(url.strip())
    hint = _("The documented one is {url}").format(url=BASE_URL)
    try:
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        port_is_fine = False
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_fine:
        raise ConfigError(_("The base URL {url!r} is not a web address.").format(url=url), hint=hint)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(_("The base URL may hold no user name, query or fragment."), hint=hint)
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ConfigError(
            _("The base URL is plain http: the key would travel readable by anyone on the way."),
            hint=_("Use https; plain http is for this machine only.") + "\n" + hint,
        )
    return url.strip().rstrip("/")


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
    return value if isinstance(value, Secret) else check_key(str(value))


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
    "ledger_url": _Spec(str, "ELUMENTA_LEDGER_URL"),
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
    environ = os.environ if environ is None else environ
    if unknown := set(arguments) - set(_SPECS):
        from ._catalog import closest

        name = min(unknown)
        near = closest(name, _SPECS)
        raise ConfigError(
            _("There is no setting {name!r}.").format(name=name),
            hint=_("Did you mean {name}?").format(name=near) if near else ", ".join(_SPECS),
        )
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}

    def offer(name: str, value: Any, source: str) -> None:
        if name in values or value is None or value == "":
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
    for name, spec in _SPECS.items():
        offer(name, environ.get(spec.env), spec.env)
    home = values.setdefault("home", _default_home())
    for name, value, source in _from_files(home, cwd or Path.cwd()):
        if name == "confirm_above" and source.endswith("pyproject.toml"):
            value = _only_stricter(value, home)  # noqa: PLW2901 - the offer, made safe
        offer(name, value, source)
    if "api_key" not in values:
        _offer_stored_key(home, offer)
    return Settings(**values, sources=sources)


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
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return {}
    except tomllib.TOMLDecodeError as error:
        if path.name == "pyproject.toml":  # somebody else's file: not ours to complain about
            return {}
        raise ConfigError(_("{path} cannot be read: {why}").format(path=path, why=error)) from None


def _only_stricter(value: Any, home: Path) -> Any:
    """A project may ask for consent earlier than the user does, never later."""
    own = _read_toml(home / "config.toml").get("confirm_above", Settings.__dataclass_fields__["confirm_above"].default)
    return value if isinstance(value, int) and (value and (not own or value < own)) else None


def _offer_stored_key(home: Path, offer: Callable[[str, Any, str], None]) -> None:
    file = KeyFile(home)
    offer("api_key", file.read(), str(file.path))
    if _read_toml(home / "config.toml").get("keyring"):
        try:
            import keyring
        except ImportError:
            raise ConfigError(
                _("The key was stored in the keyring, and the package keyring is not installed."),
                hint='pip install "elumenta-nb[keyring]"',
            ) from None
        offer("api_key", keyring.get_password("elumenta_nb", "api_key"), "keyring")


def changed(settings: Settings, **values: Any) -> Settings:
    """The settings with some replaced, for what a line of a notebook chose."""
    return replace(settings, **values)
