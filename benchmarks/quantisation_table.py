"""The quantisation results as Markdown."""
from typing import Any
def text(document: dict[str, Any]) -> str:
    return ""
