"""Pages of documentation and the examples in them."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def page(name: str) -> str:
    """Return the text of a page of `cards/docs`."""
    return (ROOT / "cards" / "docs" / f"{name}.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language, empty for none."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for tongue, block in found if tongue == language]
