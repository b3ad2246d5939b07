"""Tables in Markdown: mean and spread of a figure over seeds."""

from collections.abc import Callable, Sequence
from statistics import mean, stdev

from examples.finetuning.store import Row

Label = Callable[[Row], str]


def cross_table(
    rows: Sequence[Row], corner: str, line: Label, column: Label, figure: str = "accuracy", digits: int = 1
) -> str:
    """Return a table with a line and a column for each label, in the order in which the rows have them.

    Args:
        rows: Results, several with the same labels where there are several seeds.
        corner: Heading of the first column.
        line: Gives the label of a row's line.
        column: Gives the heading of a row's column.
        figure: What the cells show.
        digits: After the point.
    """
    lines = list(dict.fromkeys(map(line, rows)))
    columns = list(dict.fromkeys(map(column, rows)))
    values: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        values.setdefault((line(row), column(row)), []).append(row[figure])
    table = [[name, *(mean_and_spread(values.get((name, title), []), digits) for title in columns)] for name in lines]
    return markdown([corner, *columns], table)


def below(rows: Sequence[Row], arithmetic: str, baseline: tuple[str, str]) -> list[Row]:
    """Return the rows of other arithmetics than the baseline's, with how many points each is "below" it.

    Args:
        rows: Results, with "treatment", "seed" and "accuracy".
        arithmetic: Name of the entry that says in what the sums are computed.
        baseline: That entry and the treatment of the row to hold the others of its seed against.
    """
    reached = {row["seed"]: row["accuracy"] for row in rows if (row[arithmetic], row["treatment"]) == baseline}
    known = [row for row in rows if row[arithmetic] != baseline[0] and row["seed"] in reached]
    return [{**row, "below": reached[row["seed"]] - row["accuracy"]} for row in known]


def markdown(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headings, ["---"] * len(headings), *lines))


def mean_and_spread(values: Sequence[float], digits: int = 1) -> str:
    """Return "93.2 ± 0.2", the mean and the sample standard deviation; of one value that value, of none ""."""
    if not values:
        return ""
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    rounded = round(mean(values), digits) + 0.0  # no negative zero
    return f"{rounded:.{digits}f}{spread}"
