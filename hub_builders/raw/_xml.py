"""XML parsed safely: a document type is refused, so no entities are defined, expanded or fetched."""

from __future__ import annotations

from xml.etree.ElementTree import Element, ParseError, TreeBuilder
from xml.parsers import expat


def parse_xml(data: bytes, where: str) -> Element:
    """Return the root element of a document.

    Args:
        data: The document.
        where: Name of the document in messages.

    Raises:
        ValueError: If it is not well-formed XML, or declares a document type.
    """
    tree = TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _refuse
    parser.StartElementHandler = tree.start
    parser.EndElementHandler = tree.end
    try:
        parser.Parse(data, True)
        return tree.close()
    except (expat.ExpatError, ParseError, LookupError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"expected XML without a document type, got other text ({reason}): {where}") from error


def _refuse(*_: object) -> None:
    raise ValueError("it declares one")
