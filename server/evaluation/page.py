"""A report as one HTML file that needs nothing beside it: no script, no fetch; and as Markdown."""

from collections.abc import Sequence
from html import escape

from server.evaluation.report import Report
from server.evaluation.section import Section
from server.evaluation.svg import Picture
from server.replay.tables import TextTable

#: Nothing may be loaded or run, whatever a name in a file says.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; --ink: #1d2530; --soft: #5b6675; --rule: #d8dee6; --paper: #fff;
  --c0: #1f5f8b; --c1: #b5541c; --c2: #3b7d4f; --c3: #7d4a8c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9f0; --soft: #9aa7b8; --rule: #34404f;
  --paper: #141a22; --c0: #7fb8e0; --c1: #e9a26f; --c2: #8fcf9f; --c3: #cba0da; } }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60rem; margin: 2.5rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.7rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin: 2.75rem 0 .5rem; }
p { color: var(--soft); max-width: 44rem; margin: .4rem 0 1rem; }
nav ol { columns: 2; padding-left: 1.75rem; } a { color: var(--c0); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 0 0 1.5rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding-bottom: .35rem; white-space: nowrap; }
th, td { padding: .28rem .8rem .28rem 0; text-align: right; border-bottom: 1px solid var(--rule);
  white-space: nowrap; }
td.marks { font-family: ui-monospace, monospace; white-space: normal; overflow-wrap: anywhere;
  letter-spacing: .12em; max-width: 28rem; } td.marks a { text-decoration: none; }
th { font-weight: 600; } th:first-child, td:first-child { text-align: left; }
figure { margin: 1rem 0 2rem; } figcaption { color: var(--soft); font-size: .9rem; }
svg { width: 100%; height: auto; max-width: 720px; } svg text { font: 13px system-ui, sans-serif;
  fill: var(--ink); } .grid { stroke: var(--rule); } .bar { stroke: var(--c0); stroke-width: 2; }
polyline { fill: none; } .line0 { stroke: var(--c0); stroke-width: 2; }
.line1 { stroke: var(--c1); stroke-width: 2; } .line2 { stroke: var(--c2); stroke-width: 2; }
.line3 { stroke: var(--c3); stroke-width: 2; } .dot0 { fill: var(--c0); } .dot1 { fill: var(--c1); }
.dot2 { fill: var(--c2); } .dot3 { fill: var(--c3); } svg .name0 { fill: var(--c0); }
svg .name1 { fill: var(--c1); } svg .name2 { fill: var(--c2); } svg .name3 { fill: var(--c3); }
@media (max-width: 40rem) { nav ol { columns: 1; } body { margin: 1.25rem auto; } }
"""


def page(report: Report) -> str:
    """Return the page. Whatever comes from files, models or the command line is escaped."""
    notes = "".join(f"<p>{escape(note)}</p>\n" for note in report.notes)
    contents = "".join(
        f'<li><a href="#s{number}">{escape(section.title)}</a></li>'
        for number, section in enumerate(report.sections)
    )
    body = "".join(_section(number, section) for number, section in enumerate(report.sections))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(report.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(report.title)}</h1>\n{notes}<nav><ol>{contents}</ol></nav>\n{body}"
        "</main>\n</body>\n</html>\n"
    )


def _section(number: int, section: Section) -> str:
    text = f"<p>{escape(section.text)}</p>\n" if section.text else ""
    tables = "".join(_table(table, section) for table in section.tables if table.rows)
    pictures = "".join(_figure(picture) for picture in section.pictures)
    return (
        f'<section id="s{number}">\n<h2>{escape(section.title)}</h2>\n{text}{tables}{pictures}'
        "</section>\n"
    )


def _table(table: TextTable, section: Section) -> str:
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in table.columns)
    rows = "".join(f"<tr>{_row(row, section)}</tr>\n" for row in table.rows)
    return (
        f'<div class="wide"><table>\n<caption>{escape(table.title)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
    )


def _row(row: Sequence[str], section: Section) -> str:
    cells = [_link(text, section.links.get(text)) for text in row]
    addresses = section.marked.get(row[0]) if row else None
    if addresses:
        cells[1] = "".join(_link(m, to) for m, to in zip(row[1], addresses, strict=False))
    return "".join(
        f'<td class="marks">{cell}</td>' if addresses and place == 1 else f"<td>{cell}</td>"
        for place, cell in enumerate(cells)
    )


def _link(text: str, address: str | None) -> str:
    # Only the server's own pages are linked: an address from a file would be someone else's.
    if address is None or not address.startswith(("http://", "https://")):
        return escape(text)
    return f'<a href="{escape(address)}" rel="noreferrer">{escape(text)}</a>'


def _figure(picture: Picture) -> str:
    return f"<figure>{picture.svg}<figcaption>{escape(picture.caption)}</figcaption></figure>\n"


def markdown(report: Report) -> str:
    """Return the report as Markdown, without pictures."""
    parts = [f"# {_plain(report.title)}", *map(_plain, report.notes)]
    for section in report.sections:
        parts.append(f"## {_plain(section.title)}")
        if section.text:
            parts.append(_plain(section.text))
        parts += [_markdown_table(table) for table in section.tables if table.rows]
    return "\n\n".join(parts) + "\n"


def _markdown_table(table: TextTable) -> str:
    head = "| " + " | ".join(_plain(column) for column in table.columns) + " |"
    rule = "|" + "|".join(" --- " if n == 0 else " ---: " for n in range(len(table.columns))) + "|"
    rows = ["| " + " | ".join(_plain(cell) for cell in row) + " |" for row in table.rows]
    return "\n".join([head, rule, *rows])


def _plain(text: str) -> str:
    """Return a text on one line in which nothing is Markdown or HTML."""
    line = " ".join(text.split())
    for special in ("\\", "|", "*", "_", "`", "[", "]", "$", "#"):
        line = line.replace(special, f"\\{special}")
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
