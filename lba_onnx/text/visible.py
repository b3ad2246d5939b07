"""What a terminal or a plot would act upon is shown instead."""


def visible(text: str) -> str:
    r"""Return text with an escape such as `\x1b` or `\n` in place of each character that is no glyph.

    These are what Python's `repr` escapes: control characters, marks that turn the direction of text, line separators,
    spaces other than the common one, surrogates, unassigned characters.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def plot_label(text: str) -> str:
    """Return text as matplotlib is to be given it: `visible`, and with no `$` that would begin a formula."""
    return visible(text).replace("$", r"\$")
