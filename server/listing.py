"""Tables for a terminal of any width: a row is a line, and named columns give way.

Where columns would be too narrow to be read, each field is a line.
"""

from collections.abc import Iterable, Iterator, Sequence

from rich.box import HEAVY_HEAD, SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

#: Of a terminal that has room for lines between the cells; the usual one has 80.
WIDE_COLUMNS = 110
#: What a column keeps that gives way, and what each one needs to be read.
LEAST_COLUMNS = 8

Row = tuple[Text, ...]


def listing(
    names: Sequence[str],
    rows: Iterable[Row],
    width: int,
    *,
    give_way: Sequence[str] = (),
    numbers: Sequence[str] = (),
) -> RenderableType:
    """Return rows under names; what does not fit in `width` is taken from `give_way`, in order.

    Where even that leaves too little, cells go on in further lines, but for the first: an id is
    there to be copied.
    """
    rows = list(rows)
    if is_narrow(names, width):
        return fields(names, rows)
    wide = width >= WIDE_COLUMNS
    needed = [_widest(column) for column in zip(names, *rows, strict=True)]
    # Three columns around each cell, and one at the end.
    over = sum(needed) + 3 * len(names) + 1 - width
    for name in give_way:
        place = names.index(name)
        taken = min(max(over, 0), max(needed[place] - LEAST_COLUMNS, 0))
        needed[place] -= taken
        over -= taken
    table = Table(box=HEAVY_HEAD if wide else SIMPLE_HEAD)
    for name in names:
        justify: JustifyMethod = "right" if name in numbers else "left"
        whole = over <= 0 or name == names[0]
        table.add_column(name, no_wrap=whole, overflow="fold", justify=justify)
    for row in rows:
        table.add_row(*map(_cut, row, needed))
    return table


def is_narrow(names: Sequence[str], width: int) -> bool:
    """Whether columns of these names would be too narrow to be read."""
    return width < LEAST_COLUMNS * len(names)


def fields(names: Sequence[str], rows: Iterable[Row]) -> Group:
    """Return rows as lines of a field each, with an empty line after each row."""
    return Group(*(line for row in rows for line in _lines(names, row)))


def _lines(names: Sequence[str], row: Row) -> Iterator[Text]:
    for name, cell in zip(names, row, strict=True):
        if cell.plain:
            yield Text(f"{name}: " if name else "", overflow="fold").append_text(cell)
    yield Text()


def _widest(column: Sequence[str | Text]) -> int:
    return max(cell_len(str(cell)) for cell in column)


def _cut(text: Text, most: int) -> Text:
    cut = text.copy()
    cut.truncate(most, overflow="ellipsis")
    return cut
