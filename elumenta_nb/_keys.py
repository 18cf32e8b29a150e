"""API keys: what one looks like, how it is held so that it does not show, and where it is kept.

Keys come from the environment, a 0600 file or the keyring; never from a widget, whose value Jupyter would save.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from ._errors import AuthFailed, ConfigError
from ._language import gettext as _

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

__all__ = ["PLACEHOLDER", "Address", "KeyFile", "Keyring", "Secret", "check_key", "hidden", "key_in_prompt"]

PLACEHOLDER: Final = "nb_YOUR_API_KEY"  # en/quickstart
_PASSWORD: Final = re.compile(r"(://[^:/@]*):[^?]*@")  # to the last @: one of the password may stand there as it is
_PASSWORD_OPTION: Final = re.compile(r"([?&](?:ssl)?password=)[^&]*", re.IGNORECASE)
_NOTE: Final = re.compile(r"^[ \t]*keyring[ \t]*=.*\n?", re.MULTILINE)  # not a comment that speaks of it
T = TypeVar("T")
_KEY: Final = re.compile(r"nb_[\w.\-]{4,}", re.ASCII)  # no exact length: the pages disagree (api K1)


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


class Address(str):
    """The ledger's address, whose `repr` hides the password."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(self.shown)

    @property
    def shown(self) -> str:
        return _PASSWORD_OPTION.sub(r"\1***", _PASSWORD.sub(r"\1:***@", self))

    @property
    def bare(self) -> str:
        """Without the password, as anybody may read and compare it."""
        place, mark, options = _PASSWORD.sub(r"\1@", self).partition("?")
        kept = "&".join(option for option in options.split("&") if not _PASSWORD_OPTION.match(f"?{option}"))
        return f"{place}{mark if kept else ''}{kept}"


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
        found = Secret(self.path.read_text(encoding="ascii", errors="replace").strip())
        return check_key(found) if found() else None

    def write(self, key: Secret) -> None:
        """Raises `ConfigError` where the file cannot be made."""
        draft = self.path.with_suffix(".new")
        with _written(self.path):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft.unlink(missing_ok=True)  # it would keep the mode it has, or be a link to somewhere else
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:  # noqa: PTH123 - the mode must hold from the first byte
                file.write(key() + "\n")
            draft.replace(self.path)

    def remove(self) -> bool:
        """Whether there was one. Raises `ConfigError` where it cannot be removed."""
        if not self.path.exists():
            return False
        with _written(self.path):
            self.path.unlink(missing_ok=True)
        return True


@contextlib.contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            _("{path} cannot be written: {why}.").format(path=path, why=error.strerror or error),
            hint=_("Set ELUMENTA_HOME to a folder that can be written, or give the key in ELUMENTA_API_KEY."),
        ) from None


def key_in_prompt() -> AuthFailed:
    """The error of a call whose prompt or parameters hold the account's own key."""
    return AuthFailed(
        _("Your API key is in the prompt or in a parameter; it was not sent."),
        hint=_("Remove it there. If it was sent or shared elsewhere, make a new key: elumenta.ru/web, Profile"),
    )


def hidden(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with what is secret wrapped. Tools that show a traceback with its variables show every one of ours."""
    wraps: dict[str, Callable[[str], Any]] = {"api_key": Secret, "ledger_url": Address}
    return {
        name: wraps[name](value) if name in wraps and isinstance(value, str) else value
        for name, value in settings.items()
    }


def check_key(text: str | Secret) -> Secret:
    """The key, if it looks like one (`nb_…`, en/authentication). Raises `AuthFailed` naming what is wrong."""
    secret, text = Secret((text if isinstance(text, str) else text()).strip()), ""
    hint = _("Keys are made at elumenta.ru/web, Profile, API Keys; then: %elumenta login")
    if secret() == PLACEHOLDER:
        raise AuthFailed(_("nb_YOUR_API_KEY is the placeholder of the documentation, not a key."), hint=hint)
    if not _KEY.fullmatch(secret()):
        raise AuthFailed(_("That is not an Elumenta key: a key begins with nb_ and has no spaces."), hint=hint)
    return secret


def _of_keyring(act: Callable[[], T]) -> T:
    """What the keyring answers. Its error is not kept: every backend has its own, and their frames hold the key."""
    try:
        return act()
    except Exception as error:  # noqa: BLE001 - as above
        why = type(error).__name__
    raise ConfigError(
        _("The system's keyring cannot be used: {why}.").format(why=why),
        hint=_("Unlock it, or keep the key in a file that only you can read: %elumenta login"),
    )


class Keyring:
    """The key in the system's keyring (extra `keyring`); a line of `config.toml` remembers that it is there."""

    _SERVICE: Final = "elumenta_nb"
    _NAME: Final = "api_key"

    def __init__(self, home: Path) -> None:
        self._note = home / "config.toml"

    def read(self) -> Secret | None:
        """Raises `ConfigError` where the keyring is locked, or there is none on this machine."""
        library = self._library()
        stored = _of_keyring(lambda: Secret(library.get_password(self._SERVICE, self._NAME) or ""))
        return stored if stored() else None

    def write(self, key: Secret) -> None:
        """Raises `ConfigError` when there is no keyring to use, or that the key is there cannot be noted."""
        library = self._library()
        _of_keyring(lambda: library.set_password(self._SERVICE, self._NAME, key()))
        with _written(self._note):
            self._note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            text = self._note.read_text(encoding="utf-8") if self._note.exists() else ""
            self._note.write_text("keyring = true\n" + _NOTE.sub("", text), encoding="utf-8")

    def remove(self) -> bool:
        text = self._note.read_text(encoding="utf-8") if self._note.exists() else ""
        if not _NOTE.search(text):
            return False
        with contextlib.suppress(Exception):  # a keyring that is locked or gone holds no key of ours
            self._library().delete_password(self._SERVICE, self._NAME)
        self._note.write_text(_NOTE.sub("", text), encoding="utf-8")
        return True

    @staticmethod
    def _library() -> Any:
        try:
            import keyring
        except ImportError:
            raise ConfigError(
                _("The key belongs in the keyring, and the package keyring is not installed."),
                hint='pip install "elumenta-nb[keyring]"',
            ) from None
        return keyring
