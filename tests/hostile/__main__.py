"""Prints the hostile table: `python -m tests.hostile`."""

from rich.console import Console
from rich.table import Table

from sandbox.confinement.tiers import GUARANTEES, Tier
from tests.hostile.row import Row
from tests.hostile.table import ROWS


def lowest_tier(row: Row) -> Tier:
    """The lowest tier that holds what the row needs; below it, `require` refuses."""
    return next(tier for tier in Tier if row.needs <= GUARANTEES[tier])


def main() -> None:
    """Print a line a row."""
    table = Table(title=f"{len(ROWS)} hostile inputs", title_justify="left")
    for column in ("input", "right outcome", "needs", "from tier"):
        table.add_column(column)
    for row in ROWS:
        table.add_row(row.name, row.outcome, ", ".join(sorted(row.needs)), lowest_tier(row))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
