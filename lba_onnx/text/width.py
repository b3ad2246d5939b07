"""How many columns of a terminal text takes, and text made to fit."""

_ELLIPSIS = "…"


def columns_of(text: str) -> int:
    """Return how many columns of a terminal a printable text takes: two for an ideograph, none for an accent."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def shorten(text: str, width: int) -> str:
    """Return text of at most `width` columns (1 or more), with an ellipsis in the middle in place of what it lacks."""
    if columns_of(text) <= width:
        return text
    end = (width - 1) // 2
    start = width - 1 - end
    return clip(text, start) + _ELLIPSIS + clip(text[::-1], end)[::-1]


def clip(text: str, width: int) -> str:
    """Return the beginning of text, as much as fits."""
    if text.isascii():
        return text[:width]
    taken = 0
    for place, character in enumerate(text):
        taken += columns_of(character)
        if taken > width:
            return text[:place]
    return text


def wrap(text: str, width: int | None, is_breaking: bool = False) -> list[str]:
    """Return text in lines of at most `width` columns, ended between words; as it is where it fits.

    Args:
        text: Words with spaces between them.
        width: None for one line.
        is_breaking: Whether words that are longer go on in the next line, or stay whole.
    """
    if width is None or columns_of(text) <= width:
        return [text]
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if columns_of(joined) <= width:
            lines[-1] = joined
            continue
        pieces = _pieces(word, width) if is_breaking else [word]
        lines[-1:] = [lines[-1], *pieces] if lines[-1] else pieces
    return lines


def _pieces(word: str, width: int) -> list[str]:
    pieces = []
    while word:
        piece = clip(word, width) or word[0]
        pieces.append(piece)
        word = word[len(piece) :]
    return pieces
