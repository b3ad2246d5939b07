"""The README as a package index shows it: without the links and pictures that lead into the repository."""

import re

_PICTURE = re.compile(r"^!\[[^\]]*\]\((?!https?:)[^)]*\)\n\n?", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]*)\]\((?!https?:|mailto:|#)[^)]*\)")


def for_package_index(text: str) -> str:
    """Return the text with relative links as the words that they stand on, and without relative pictures."""
    return _LINK.sub(r"\1", _PICTURE.sub("", text))
