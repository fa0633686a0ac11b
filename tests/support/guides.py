"""Guides in docs/ whose commands are run and whose answers are compared with what they show.

A ```sh block is run by bash; a ```http block that follows it is what it must print: a status line, headers that the
answer must have among others, and a body. `…` in it stands for anything; a field `"…"` or a comment `<!-- … -->` for
any further fields. What another command than `curl -i` prints is in a ```text block.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

ANYTHING = "…"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Step:
    """Commands, the line of the guide on which they begin, and what they print, None if that is not shown."""

    line: int
    commands: str
    shown: str | None


def read_steps(guide: Path) -> list[Step]:
    """Return the steps in their sequence."""
    text = guide.read_text(encoding="utf-8")
    blocks = [(text.count("\n", 0, match.start()) + 2, *match.groups()) for match in _BLOCK.finditer(text)]
    following = [*blocks[1:], (0, "", "")]
    return [
        Step(line, content, shown if language_shown in {"http", "text"} else None)
        for (line, language, content), (_, language_shown, shown) in zip(blocks, following, strict=True)
        if language == "sh"
    ]


def assert_as_shown(printed: str, shown: str) -> None:
    """Fail unless a command has printed what is shown: `curl -i` an answer, or any other its text."""
    if not shown.startswith("HTTP/"):
        assert _is_as_shown(printed, shown)
        return
    head, _, body = printed.replace("\r\n", "\n").partition("\n\n")
    shown_head, _, shown_body = shown.partition("\n\n")
    status, *headers = head.splitlines()
    shown_status, *shown_headers = shown_head.splitlines()
    assert status == shown_status
    for shown_header in shown_headers:
        assert any(_is_as_shown(header, shown_header) for header in headers), shown_header
    if not shown_body:
        return
    if shown_body.startswith("<"):
        _compare_xml(ET.fromstring(body), _parse_shown_xml(shown_body), "")
    else:
        _compare_json(json.loads(body), json.loads(shown_body), "")


def _is_as_shown(text: str, shown: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, shown.split(ANYTHING))), text, re.DOTALL) is not None


def _compare_json(value: Any, shown: Any, path: str) -> None:
    if isinstance(shown, dict):
        names = [name for name in shown if name != ANYTHING]
        if ANYTHING in shown:
            assert set(names) <= set(value), path
        else:
            assert list(value) == names, path
        for name in names:
            _compare_json(value[name], shown[name], f"{path}.{name}")
    elif isinstance(shown, list):
        assert len(value) == len(shown), path
        for index, (item, shown_item) in enumerate(zip(value, shown, strict=True)):
            _compare_json(item, shown_item, f"{path}[{index}]")
    elif isinstance(shown, str) and ANYTHING in shown:
        assert _is_as_shown(value, shown), path
    else:
        assert (type(value), value) == (type(shown), shown), path


def _parse_shown_xml(text: str) -> ET.Element:
    return ET.fromstring(text, ET.XMLParser(target=ET.TreeBuilder(insert_comments=True)))


def _compare_xml(element: ET.Element, shown: ET.Element, path: str) -> None:
    assert element.tag == shown.tag, path
    path = f"{path}/{shown.tag}"
    left, some_are_left_out = list(element), False
    for shown_child in shown:
        if shown_child.tag is ET.Comment:
            some_are_left_out = True
            continue
        while some_are_left_out and left and left[0].tag != shown_child.tag:
            left.pop(0)
        assert left, f"{path}/{shown_child.tag}"
        _compare_xml(left.pop(0), shown_child, path)
        some_are_left_out = False
    assert some_are_left_out or not left, path
    if not len(shown):
        assert _is_as_shown(element.text or "", shown.text or ""), path
