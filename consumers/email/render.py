"""From a mail's content to its subject, text and HTML.

A store's own templates stand in `WAYBILL_MAIL_TEMPLATES_DIR/<store code>/` as `shipped.html`, `shipped.txt` and
`subject.txt`; each of them that is missing is taken from `consumers/email/templates`. They are Jinja2 templates with

* `mail`: the content, a `consumers.email.content.ShipmentMail`,
* `items`, `later`: what is listed of `mail.items` and `mail.later`,
* `items_left_out`, `later_left_out`: how many are not listed,
* `language`: `language.text(key, name=value)`, `language.count(key, number)`, `language.number(n)`,
  `language.date(moment)`, `language.country(code)`, `language.tag`; keys as in `consumers/email/locales`,
* `partial`: whether something of the order follows later,
* `packages_to_tell`: how many packages there are, if `mail.parcels` does not show it.

HTML is escaped automatically. `{% extends "shipped.html" %}` starts from the default, whose blocks are `style`,
`header`, `intro`, `contents`, `tracking`, `address`, `returns`, `closing` and `footer`. A file that is no template
stops the worker at its start; one that is changed or added later counts from the next start. An unknown name fails the
mail, which is tried again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import css_inline
from jinja2 import (
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    StrictUndefined,
    Template,
    TemplateError,
    TemplateSyntaxError,
    select_autoescape,
)

from consumers.email.content import ShipmentMail, clean
from consumers.email.language import Language
from consumers.settings import WrongSetting

# A list beyond this is cut: mail clients cut a message that grows too long, and then in the middle.
MOST_ITEMS: Final = 100

_TEMPLATES = Path(__file__).parent / "templates"


class TemplateFailure(Exception):
    """A template cannot be rendered. The message names the template and its fault, not the mail's content."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """One mail as the customer reads it."""

    subject: str
    text: str
    html: str


class Renderer:
    """Renders mails, with stores' own templates from `directory` if there is one. Raises `WrongSetting`."""

    def __init__(self, directory: Path | None = None) -> None:
        self._environment = Environment(
            loader=ChoiceLoader([FileSystemLoader(each) for each in (directory, _TEMPLATES) if each]),
            autoescape=select_autoescape(enabled_extensions=("html",), default_for_string=True, default=False),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            auto_reload=False,
            # All of them: to compile one takes as long as tens of mails.
            cache_size=-1,
        )
        # The environment keeps what it has found, but looks every time for what is not there, as most stores' are not.
        self._template = cache(self._find)
        # Media queries cannot be inlined and stay in the head, for those clients that read them.
        self._inliner = css_inline.CSSInliner(keep_at_rules=True, load_remote_stylesheets=False)
        if directory:
            self._check(directory)

    def render(self, mail: ShipmentMail, language: Language) -> Rendered:
        """Return the mail in `language`. Raises `TemplateFailure`."""
        values = {
            "mail": mail,
            "items": mail.items[:MOST_ITEMS],
            "items_left_out": len(mail.items[MOST_ITEMS:]),
            "later": mail.later[:MOST_ITEMS],
            "later_left_out": len(mail.later[MOST_ITEMS:]),
            "language": language,
            "partial": bool(mail.later),
            "packages_to_tell": mail.packages if mail.packages != len(mail.parcels) else None,
        }
        return Rendered(
            subject=clean(self._fill(mail.store_code, "subject.txt", values)),
            text=self._fill(mail.store_code, "shipped.txt", values),
            html=self._inliner.inline(self._fill(mail.store_code, "shipped.html", values)),
        )

    def _fill(self, store_code: str, name: str, values: dict[str, object]) -> str:
        try:
            return self._template(store_code, name).render(values)
        except Exception as error:  # a template is a program, and fails like one
            raise TemplateFailure(f"template {name} of store {store_code}: {_fault(error)}") from error

    def _find(self, store_code: str, name: str) -> Template:
        template = self._environment.select_template([f"{store_code}/{name}", name])
        # Each mail starts from a copy of these, which of a ChainMap is made in Python, key by key.
        template.globals = dict(template.globals)
        return template

    def _check(self, directory: Path) -> None:
        if not directory.is_dir():
            raise WrongSetting(f"WAYBILL_MAIL_TEMPLATES_DIR: {directory} is not a directory")
        for name in self._environment.list_templates(extensions=("html", "txt")):
            try:
                self._environment.get_template(name)
            except (TemplateError, UnicodeError) as error:
                raise WrongSetting(f"WAYBILL_MAIL_TEMPLATES_DIR: {name}: {_fault(error)}") from error


def _fault(error: Exception) -> str:
    kind = type(error).__name__
    if isinstance(error, TemplateSyntaxError):
        return f"line {error.lineno}: {kind}: {error.message}"
    # Other errors may quote what was to be shown, a customer's name for example.
    return f"{kind}: {error}" if isinstance(error, TemplateError | KeyError | UnicodeError) else kind
