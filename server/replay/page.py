"""A study as one HTML file that needs nothing beside it: no script, no fetch."""

import base64
from collections.abc import Iterable
from html import escape

from server.replay.plots import Picture
from server.replay.study import Study
from server.replay.tables import TextTable, tables

#: Nothing may be loaded or run, whatever a name in a file says.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0 2rem; }
caption { text-align: left; font-weight: 600; padding-bottom: .4rem; }
th, td { padding: .25rem .75rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; height: auto; }
figure { margin: 2rem 0; }
"""


def page(study: Study, pictures: Iterable[Picture]) -> str:
    """Return the page. Whatever comes from files or the command line is escaped."""
    notes = "".join(f"<p>{escape(note)}</p>\n" for note in study.notes)
    body = "".join(_table(table) for table in tables(study))
    figures = "".join(_figure(picture) for picture in pictures)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>Quorum replay</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>Quorum replay</h1>\n<p>{escape(study.source)}; seed {study.seed}.</p>\n"
        f"{notes}{body}{figures}</body>\n</html>\n"
    )


def _table(table: TextTable) -> str:
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in table.columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n"
        for row in table.rows
    )
    return (
        f"<table>\n<caption>{escape(table.title)}</caption>\n"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n"
    )


def _figure(picture: Picture) -> str:
    data = base64.b64encode(picture.png).decode("ascii")
    caption = escape(picture.caption)
    return (
        f'<figure>\n<img alt="{caption}" src="data:image/png;base64,{data}">\n'
        f"<figcaption>{caption}</figcaption>\n</figure>\n"
    )
