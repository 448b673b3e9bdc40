"""A run report as one HTML page that needs nothing beside it: no script, no fetch.

Ids, answers and reasons are what callers and models wrote: everything is escaped. On a narrow
screen the table becomes a card for each problem.
"""

from collections.abc import Iterable, Sequence
from html import escape

from kaggle_notebook.ladder import Rung
from kaggle_notebook.report.data import AttemptLine, ProblemLine, RunReport

#: Nothing may be loaded or run, whatever a text says.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #2a7d46; --bad: #b3402a; --bar: #4a7ab5; }
* { box-sizing: border-box; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 70rem; margin: 1rem auto;
  padding: 0 .8rem; }
h1 { font-size: 1.3rem; margin: 0 0 .2rem; } h2 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
p { margin: .3rem 0; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); gap: .5rem; }
dl div { border: 1px solid var(--line); border-radius: .4rem; padding: .4rem .6rem; }
dt { font-size: .8rem; opacity: .75; } dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: .3rem .5rem; text-align: right; border-bottom: 1px solid var(--line);
  vertical-align: top; white-space: nowrap; }
th { font-size: .8rem; }
th.text, td.text { text-align: left; white-space: normal; overflow-wrap: anywhere; }
.right { color: var(--good); } .wrong, .default, .missing { color: var(--bad); }
.time { display: block; height: .35rem; background: var(--line); border-radius: .2rem;
  margin-top: .2rem; }
.time i { display: block; height: 100%; background: var(--bar); border-radius: .2rem; }
summary { cursor: pointer; } details p, details li { font-size: .85rem; }
ol, ul { margin: .2rem 0; padding-left: 1.2rem; }
@media (max-width: 46rem) {
  table.problems thead { display: none; }
  table.problems, table.problems tbody, table.problems tr, table.problems td { display: block; }
  table.problems tr { border: 1px solid var(--line); border-radius: .4rem; margin: .5rem 0;
    padding: .3rem; }
  table.problems td { border: 0; text-align: left; padding: .15rem .3rem; white-space: normal; }
  table.problems td::before { content: attr(data-label) ": "; font-size: .8rem; opacity: .75; }
}
"""
_COLUMNS = ("#", "Problem", "Answer", "From", "Votes", "Time", "Tokens", "Tools")
_TEXT_COLUMNS = frozenset({"Problem", "Votes"})


def page(report: RunReport, most_attempts: int = 64) -> str:
    """Return the page, with up to `most_attempts` attempts told for each problem."""
    rows = "".join(_row(problem, most_attempts) for problem in report.problems)
    head = "".join(f'<th scope="col"{_kind(name)}>{escape(name)}</th>' for name in _COLUMNS)
    omitted = f"<p>{report.omitted} more problems are left out.</p>\n" if report.omitted else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Quorum run</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>Quorum run</h1>\n<p>{escape(_headline(report))}</p>\n{_totals(report)}"
        f'<h2>Problems</h2>\n<table class="problems">\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}</tbody>\n</table>\n{omitted}"
        f"<h2>Health</h2>\n{_health(report)}</body>\n</html>\n"
    )


def clock(seconds: float) -> str:
    """Return a time for a person: 47 s, 12:05, 4:59:58."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def _headline(report: RunReport) -> str:
    parts = [report.session, f"mode {report.mode}", report.model, report.sandbox]
    return "; ".join(part for part in parts if part)


def _totals(report: RunReport) -> str:
    rungs = ", ".join(f"{rung} {report.rungs[rung]}" for rung in Rung if rung in report.rungs)
    facts = [
        ("Answered", f"{report.answered} of {report.problems_expected}"),
        ("Right", "not known" if report.right is None else f"{report.right}"),
        ("Time", f"{clock(report.elapsed_s)} of {clock(report.limit_s)}"),
        ("Answers from", rungs or "none"),
        ("Tokens sampled", f"{report.tokens:,}"),
        ("Tool calls", f"{report.tool_calls:,}, {report.tool_errors:,} failed"),
        ("Engine losses", f"{report.engine_losses:,}"),
        ("Server starts", f"{report.server.get('starts', 0)}"),
    ]
    inner = "".join(f"<div><dt>{escape(a)}</dt><dd>{escape(b)}</dd></div>\n" for a, b in facts)
    return f"<dl>\n{inner}</dl>\n"


def _row(problem: ProblemLine, most_attempts: int) -> str:
    cells = (
        str(problem.number),
        _details(problem, most_attempts),
        _answer(problem),
        f'<span class="{escape(problem.rung)}">{escape(problem.rung)}</span>',
        escape(_votes(problem)),
        _time(problem),
        f"{problem.tokens:,}",
        f"{problem.tool_calls:,} ({problem.tool_errors:,} failed)",
    )
    return "<tr>" + "".join(map(_cell, _COLUMNS, cells)) + "</tr>\n"


def _cell(name: str, content: str) -> str:
    return f'<td data-label="{escape(name)}"{_kind(name)}>{content}</td>'


def _kind(name: str) -> str:
    return ' class="text"' if name in _TEXT_COLUMNS else ""


def _answer(problem: ProblemLine) -> str:
    if problem.expected is None:
        return f"<b>{problem.answer}</b>"
    if problem.answer == problem.expected:
        return f'<b class="right">{problem.answer} right</b>'
    return f'<b class="wrong">{problem.answer}</b> not {problem.expected}'


def _votes(problem: ProblemLine) -> str:
    cast = [f"{line.answer} ({line.votes})" for line in problem.votes if line.votes]
    return ", ".join(cast) or "none"


def _time(problem: ProblemLine) -> str:
    if not problem.budget_s:
        return clock(problem.seconds)
    share = min(100.0, max(0.0, 100 * problem.seconds / problem.budget_s))
    return (
        f"{clock(problem.seconds)} of {clock(problem.budget_s)}"
        f'<span class="time"><i style="width:{share:.0f}%"></i></span>'
    )


def _details(problem: ProblemLine, most_attempts: int) -> str:
    lines = [text for text in (problem.end, problem.detail, *problem.notes) if text]
    body = "".join(f"<p>{escape(text)}</p>" for text in lines)
    shown = problem.attempts[:most_attempts]
    if shown:
        body += "<ul>" + "".join(f"<li>{escape(_attempt(each))}</li>" for each in shown) + "</ul>"
    if not body:
        return escape(problem.id)
    return f"<details><summary>{escape(problem.id)}</summary>{body}</details>"


def _attempt(attempt: AttemptLine) -> str:
    losses = f", engine losses {attempt.engine_losses}" if attempt.engine_losses else ""
    detail = f": {attempt.detail}" if attempt.detail else ""
    return (
        f"attempt {attempt.attempt}: {attempt.answer or 'no answer'}, {attempt.end}, weight "
        f"{attempt.weight:.2f}, {attempt.tokens:,} tokens, {attempt.turns} turns, "
        f"{attempt.tool_calls} tool calls ({attempt.tool_errors} failed), "
        f"{clock(attempt.seconds)}{losses}{detail}"
    )


def _health(report: RunReport) -> str:
    cells = (
        ", ".join(f"{name} {count:,}" for name, count in report.cells.items()) or "no tool calls"
    )
    server = report.server
    journaled = sum(bool(each.journaled) for each in report.problems)
    other = sum(each.journaled not in ("", each.rung) for each in report.problems)
    parts = [
        f"Tool calls by result: {cells}; kernels lost: {report.kernels_lost}.",
        f"Engine losses that attempts met: {report.engine_losses}.",
        f"Rungs that the server's journal has: {journaled} of {len(report.problems)}"
        + (f"; others there than here: {other}" if other else "")
        + ".",
        f"Server: {server.get('phase', 'unknown')} after {server.get('starts', 0)} starts"
        + (f"; {server['detail']}" if server.get("detail") else "")
        + ".",
    ]
    body = "".join(f"<p>{escape(part)}</p>\n" for part in parts)
    findings = [
        f"{each.get('subject', '')}: {each.get('verdict', '')}, {each.get('detail', '')}"
        for each in report.findings
    ]
    return body + _list("Checks at the start", findings) + _list("Told on the way", report.troubles)


def _list(title: str, lines: Sequence[str] | Iterable[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>\n" for line in lines)
    return f"<h2>{escape(title)}</h2>\n<ul>\n{items}</ul>\n" if items else ""
