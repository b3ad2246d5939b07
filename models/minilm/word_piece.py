"""The tokenizer of BERT models: text to the numbers of its word pieces, lower case, without accents."""

import unicodedata
from collections.abc import Iterator
from pathlib import Path

CLASS_TOKEN, SEPARATOR_TOKEN, UNKNOWN_TOKEN = "[CLS]", "[SEP]", "[UNK]"
MOST_CHARACTERS = 100  # of a word; longer ones are unknown
# Chinese characters are words of their own.
IDEOGRAPHS = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)


class WordPieceTokenizer:
    """Cuts texts into the longest pieces that a vocabulary has, from the left."""

    def __init__(self, vocabulary_path: Path):
        """Args: vocabulary_path: text file of one piece a line, "##" before those that continue a word."""
        pieces = vocabulary_path.read_text(encoding="utf-8").splitlines()
        self._numbers = {piece: number for number, piece in enumerate(pieces)}

    def encode(self, text: str, most_tokens: int) -> list[int]:
        """Returns the numbers of [CLS], of the text's pieces and of [SEP]; the text is cut off to fit.

        Args:
            text: any text.
            most_tokens: how many numbers there may be.
        """
        pieces = [piece for word in split_words(text) for piece in self._cut(word)]
        pieces = [CLASS_TOKEN, *pieces[: most_tokens - 2], SEPARATOR_TOKEN]
        return [self._numbers[piece] for piece in pieces]

    def _cut(self, word: str) -> list[str]:
        pieces: list[str] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            ends = range(len(word), start, -1)
            end = next((end for end in ends if prefix + word[start:end] in self._numbers), None)
            if end is None or len(word) > MOST_CHARACTERS:
                return [UNKNOWN_TOKEN]
            pieces.append(prefix + word[start:end])
            start = end
        return pieces


def split_words(text: str) -> list[str]:
    """Returns words and single punctuation characters, in lower case and without accents."""
    spaced = "".join(_space(character) for character in text)
    plain = "".join(c for c in unicodedata.normalize("NFD", spaced) if unicodedata.category(c) != "Mn").lower()
    return [word for chunk in plain.split() for word in _split_punctuation(chunk)]


def _space(character: str) -> str:
    """White space becomes a space, control characters go, ideographs stand alone."""
    if character in "\t\n\r" or unicodedata.category(character) == "Zs":
        return " "
    if character in "\0�" or unicodedata.category(character).startswith("C"):
        return ""
    is_ideograph = any(first <= ord(character) <= last for first, last in IDEOGRAPHS)
    return f" {character} " if is_ideograph else character


def _split_punctuation(chunk: str) -> Iterator[str]:
    word = ""
    for character in chunk:
        if not _is_punctuation(character):
            word += character
            continue
        if word:
            yield word
        yield character
        word = ""
    if word:
        yield word


def _is_punctuation(character: str) -> bool:
    is_ascii_symbol = character.isascii() and character.isprintable() and not character.isalnum() and character != " "
    return is_ascii_symbol or unicodedata.category(character).startswith("P")
