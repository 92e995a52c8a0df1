"""Quantiles, and tables of plain text. Used by all scenarios."""

import statistics


def quantile(values, part):
    """The value that `part` of all do not exceed; `None` of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else None


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def shown(value, form=".0f"):
    return "-" if value is None else format(value, form)


def table(head, rows):
    """Prints rows under their heads, the first column to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        first = row[0].ljust(widths[0])
        rest = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        print("  ".join([first, *rest]).rstrip(), flush=True)
