"""Prompts with values in them: `{{ expression }}` over the notebook's variables, and nothing else is special.

Jinja2 in its sandbox, rendered once; what a variable holds is never read as a template. `{%`, `{#`, `{` and `}` are
plain text, so LaTeX, JSON and code need no escaping (`--raw` leaves `{{` alone too).
"""

from __future__ import annotations

import contextlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from ._catalog import closest
from ._errors import BadParam, ElumentaError
from ._language import gettext as _, number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jinja2.sandbox import ImmutableSandboxedEnvironment

__all__ = ["MAX_ROWS", "Template", "render"]

MAX_ROWS: Final = 200  # a frame up to here is written out whole
_PRIVATE: Final = "\ue000"  # from the private use area: what starts a block must not occur in the text
_SHOWN: Final = 80
_PLAIN: Final = {  # harmless, and what people reach for in an expression
    function.__name__: function for function in (abs, float, int, len, list, max, min, round, sorted, str, sum)
}


class _TooLongError(Exception):
    """A frame of more than `MAX_ROWS` rows; it does not know the name the person gave it."""

    def __init__(self, frame: Any) -> None:
        super().__init__()
        self.frame = frame


def render(text: str, namespace: Mapping[str, Any]) -> str:
    """The text with its `{{ }}` filled in from `namespace`.

    Raises `BadParam` for an undefined name (with the closest variable), a template that cannot be read, an
    expression that fails, and a table of more than `MAX_ROWS` rows.
    """
    if "{{" not in text:
        return text
    environment = _environment(_mark(text))
    with _told(namespace):
        return environment.from_string(text).render(_wanted(environment, text, namespace))


class Template:
    """A text to be filled in many times: read once.

    `names` are the variables it asks for, `asked` these and the functions that a variable may stand in for.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.names: frozenset[str] = frozenset()
        self.asked: frozenset[str] = frozenset()
        self._template: Any = None
        if "{{" in text:
            from jinja2 import meta

            environment = _environment(_mark(text))
            with _told({}):
                self.asked = frozenset(meta.find_undeclared_variables(environment.parse(text)))
                self.names = self.asked - _PLAIN.keys()
                self._template = environment.from_string(text)

    def render(self, namespace: Mapping[str, Any]) -> str:
        """Filled in; `namespace` has all of `names`. Raises `BadParam` as `render` does."""
        if self._template is None:
            return self.text
        with _told(namespace):
            filled: str = self._template.render(namespace)
            return filled


def _mark(text: str) -> str:
    mark = _PRIVATE
    while mark in text:
        mark += _PRIVATE
    return mark


@contextlib.contextmanager
def _told(namespace: Mapping[str, Any]) -> Iterator[None]:
    """What goes wrong in a template, as a `BadParam`."""
    import jinja2
    from jinja2.exceptions import SecurityError

    try:
        yield
    except jinja2.TemplateSyntaxError as error:
        raise BadParam(
            _("The template cannot be read: {reason}").format(reason=_sentence(str(error.message or error))),
            hint=_("To send {braces} as they are: --raw").format(braces="{{ }}"),
        ) from None
    except _TooLongError as long:
        raise _too_long(long.frame, namespace) from None
    except SecurityError as error:
        raise BadParam(
            _("Not available in a template: {reason}").format(reason=_sentence(str(error))),
            hint=_("Work it out in Python first and put the variable here."),
        ) from None
    except ElumentaError:
        raise
    except Exception as error:
        raise BadParam(
            _("The template failed: {kind}: {reason}").format(kind=type(error).__name__, reason=_short(str(error)))
        ) from error


def _wanted(environment: ImmutableSandboxedEnvironment, text: str, namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The variables the text names; one that does not exist is an error, even where it would not be evaluated."""
    from jinja2 import meta

    names = meta.find_undeclared_variables(environment.parse(text))
    if missing := sorted(names - namespace.keys() - _PLAIN.keys()):
        raise _undefined(missing[0], namespace)
    return {name: namespace[name] for name in names if name in namespace}


@lru_cache(maxsize=2)
def _environment(mark: str) -> ImmutableSandboxedEnvironment:
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        block_start_string=f"{mark}%",
        block_end_string=f"%{mark}",
        comment_start_string=f"{mark}#",
        comment_end_string=f"#{mark}",
        undefined=jinja2.StrictUndefined,
        finalize=_written,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.globals.clear()
    environment.globals.update(_PLAIN)
    return environment


def _written(value: Any) -> Any:
    """How a value reads in a prompt: tables as CSV, everything else by `str`."""
    kind = type(value)
    if kind.__module__.split(".")[0] != "pandas" or kind.__name__ not in ("DataFrame", "Series"):
        return value
    if len(value) > MAX_ROWS:
        raise _TooLongError(value)
    counted = type(value.index).__name__ == "RangeIndex"  # 0, 1, 2 … says nothing
    return value.to_csv(index=not counted).rstrip("\n")


def _too_long(frame: Any, namespace: Mapping[str, Any]) -> BadParam:
    name = next((name for name, held in namespace.items() if held is frame and not name.startswith("_")), "df")
    return BadParam(
        _("A table of {n} rows does not go into a prompt (at most {limit}).").format(
            n=number(len(frame)), limit=MAX_ROWS
        ),
        hint=_("Part of it: {part}").format(part=f"{{{{{name}.head(50)}}}}"),
    )


def _undefined(name: str, namespace: Mapping[str, Any]) -> BadParam:
    near = closest(name, [known for known in namespace if not known.startswith("_")])
    hint = _("Did you mean {name}?").format(name=f"{{{{{near}}}}}") + "\n" if near else ""
    return BadParam(
        _("The template names {name!r}, and there is no such variable.").format(name=name),
        hint=hint + _("To send {braces} as they are: --raw").format(braces="{{ }}"),
    )


def _short(text: str) -> str:
    line = text.strip().splitlines()[0] if text.strip() else ""
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"


def _sentence(text: str) -> str:
    return _short(text).rstrip(".") + "."
