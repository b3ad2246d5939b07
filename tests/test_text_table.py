"""Tables in a width: figures whole, names shortened in the middle, remarks in further lines; nothing that acts."""

import io
import time

import pytest
from rich.console import Console

from lba_onnx.text import TextTable, figures, names, remarks, visible, wrap
from lba_onnx.text.width import columns_of, shorten

COLUMNS = (*names("node", "operator"), *figures("product", "largest sum", "over %"), *remarks("remark"))
NAME = "/model/layers.{}/self_attn/query_projection/of/the/whole/block/MatMul"
REMARK = "the family is too narrow here: 12 % of the products are lost; M9E5 would do"


def rows(count):
    return [
        (NAME.format(i), "MatMul", f"M22E8b{100 + i}", f"{i}.234e+05", f"{i}.2e-05", REMARK if i % 2 else "")
        for i in range(count)
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_lines_fit_and_figures_are_whole(width):
    lines = list(TextTable(COLUMNS, rows(4), "a title").lines(width))
    assert max(map(columns_of, lines)) <= width
    text = "\n".join(lines)
    for row in rows(4):
        assert all(figure in text for figure in row[2:5])
    assert text.split().count("M9E5") == 2


def test_names_are_shortened_in_the_middle():
    lines = list(TextTable(COLUMNS, rows(2)).lines(80))
    (shown,) = {line.split()[0] for line in lines if "M22E8b100" in line}
    assert shown.startswith("/model/") and shown.endswith("MatMul") and "…" in shown
    assert NAME.format(0) in "\n".join(TextTable(COLUMNS, rows(2)).lines(200))


def test_without_a_width_a_row_is_a_line_and_nothing_is_shortened():
    # A file used to get lines wrapped at 200 columns, and names cut with an ellipsis.
    long = [("n" * 5000, "op", "M7E4b10", "1", "2", REMARK * 20), *rows(2)]
    lines = str(TextTable(COLUMNS, long)).splitlines()
    assert len(lines) == 5
    assert "n" * 5000 in lines[2] and REMARK * 20 in lines[2]
    assert len(lines[3]) < 500  # what is long in one row is no reason to pad the others


def test_remarks_without_any_are_no_column():
    assert "remark" not in str(TextTable(COLUMNS, [(*row[:5], "") for row in rows(2)]))
    assert "node" in str(TextTable(COLUMNS, []))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("two\nlines\r\0", r"two\nlines\r\x00"),
        ("\x9b2J\x7f", r"\x9b2J\x7f"),
        ("\u202eabc\u2066\u2069", r"\u202eabc\u2066\u2069"),
        ("a\ud800b", r"a\ud800b"),
        ("line\u2028end", r"line\u2028end"),
        ("[bold]$x^2$ ünï 重み", "[bold]$x^2$ ünï 重み"),
    ],
)
def test_what_acts_upon_a_terminal_is_shown_as_an_escape(text, shown):
    assert visible(text) == shown
    table = TextTable((*names(text), *figures("f")), [(text, text)], title=text)
    for lines in (table.lines(), table.lines(80)):
        assert [line.count(shown) for line in lines] == [1, 1, 0, 2]


def test_wide_characters_count_as_two():
    name = "重み" * 30
    assert columns_of(shorten(name, 21)) <= 21
    table = TextTable((*names("node"), *figures("product")), [(name, "M7E4b10")])
    assert max(map(columns_of, table.lines(40))) <= 40


def test_shortening_keeps_both_ends():
    assert shorten("abcdefghij", 10) == "abcdefghij"
    assert [shorten("abcdefghij", width) for width in (9, 4, 2, 1)] == ["abcd…ghij", "ab…j", "a…", "…"]


def test_sentences_go_on_between_words():
    assert wrap("a bc  def", 20) == ["a bc  def"]
    assert wrap("a bc  def", 4) == ["a bc", "def"]
    assert wrap("a abcdefgh b", 4) == ["a", "abcdefgh", "b"]
    assert wrap("a abcdefgh b", 4, is_breaking=True) == ["a", "abcd", "efgh", "b"]


def test_rich_prints_tables_too():
    console = Console(width=60, file=io.StringIO())
    console.print(TextTable(COLUMNS, [("[bold]a", *rows(1)[0][1:])]))
    text = console.file.getvalue()
    assert "[bold]a" in text and "M22E8b100" in text
    assert max(map(len, text.splitlines())) <= 60


def test_a_hundred_thousand_rows_take_seconds():
    # rich's own table took minutes.
    many = rows(4) * 25_000
    begin = time.process_time()
    table = TextTable(COLUMNS, many)
    assert sum(1 for _ in table.lines(80)) > 100_000
    assert sum(1 for _ in table.lines()) == 100_002
    assert time.process_time() - begin < 60
