"""The XML shape of an answer: the JSON's fields under one root element.

    {"status": "ok", "shipment": {"paid": 1, "products": [{"lineId": "1"}, {"lineId": "2"}], "invoices": []}}

    <response>
      <status>ok</status>
      <shipment>
        <paid>1</paid>
        <products><product><lineId>1</lineId></product><product><lineId>2</lineId></product></products>
        <invoices />
      </shipment>
    </response>

A field is an element of its name. A list is one element with a child per entry, named as the list without its plural s
(`entry` where there is none). Null and the empty text are both an empty element; booleans are `true` and `false`.
A key that cannot be an element's name is `<entry key="…">`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
# What XML 1.0 cannot carry, not even escaped.
_NO_CHARACTER = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_xml(body: Mapping[str, Any]) -> str:
    """Return `body` as an XML document, without the white space of the example above."""
    root = ET.Element("response")
    _fill(root, body)
    text = ET.tostring(root, encoding="unicode")
    # Parsers read a bare carriage return as a line feed.
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text.replace(chr(13), "&#13;")}'


def _fill(element: ET.Element, value: object) -> None:
    if isinstance(value, Mapping):
        for name, item in value.items():
            _fill(_child(element, str(name)), item)
    elif isinstance(value, list | tuple):
        singular = element.tag[:-1] if element.tag.endswith("s") and len(element.tag) > 1 else "entry"
        for item in value:
            _fill(ET.SubElement(element, singular), item)
    else:
        element.text = _text(value)


def _child(parent: ET.Element, name: str) -> ET.Element:
    if _NAME.fullmatch(name):
        return ET.SubElement(parent, name)
    return ET.SubElement(parent, "entry", key=_NO_CHARACTER.sub("\ufffd", name))


def _text(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return _NO_CHARACTER.sub("\ufffd", str(value))
