"""The end of a solve in a terminal: the answer, large, and how it came about."""

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from client.escape import one_line, printable
from client.lanes import bar
from client.schema import SolveResult

#: Digits three rows high, three cells wide, in box-drawing characters.
_GLYPHS = {
    "0": ("┏━┓", "┃ ┃", "┗━┛"),
    "1": (" ╻ ", " ┃ ", " ╹ "),
    "2": ("╺━┓", "┏━┛", "┗━╸"),
    "3": ("╺━┓", " ━┫", "╺━┛"),
    "4": ("╻ ╻", "┗━┫", "  ╹"),
    "5": ("┏━╸", "┗━┓", "╺━┛"),
    "6": ("┏━╸", "┣━┓", "┗━┛"),
    "7": ("╺━┓", "  ┃", "  ╹"),
    "8": ("┏━┓", "┣━┫", "┗━┛"),
    "9": ("┏━┓", "┗━┫", "╺━┛"),
    "-": ("   ", "╺━╸", "   "),
}
_GLYPH_ROWS = 3
_GLYPH_WIDTH = 4
#: All that the large digits consist of.
_STROKES = "".join({stroke for rows in _GLYPHS.values() for row in rows for stroke in row})
#: Ballot lines shown: more would push the answer off a small screen.
_BALLOT_LINES = 5


def large(answer: str, width: int, encoding: str) -> Text:
    """Return an answer in large digits if it consists of digits and they fit, else as it is.

    So too where the terminal's encoding lacks them: three rows of question marks are no answer.
    """
    fits = len(answer) * _GLYPH_WIDTH <= width and _has_strokes(encoding)
    if not answer or not set(answer) <= _GLYPHS.keys() or not fits:
        return Text(printable(answer), style="bold green")
    rows = (" ".join(_GLYPHS[digit][row] for digit in answer) for row in range(_GLYPH_ROWS))
    return Text("\n".join(rows), style="bold green")


def _has_strokes(encoding: str) -> bool:
    try:
        _STROKES.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def summary(result: SolveResult, width: int, encoding: str) -> RenderableType:
    """Return what stays on the screen after the solve."""
    indent = (0, 0, 0, 2)
    if result.answer is None:
        headline = Text("no answer", style="bold red")
    else:
        headline = large(result.answer, width - 4, encoding)
    ended = f"{result.end.value.replace('_', ' ')}: {one_line(result.detail)}".rstrip(": ")
    parts: list[RenderableType] = [
        Padding(headline, (1, 0, 1, 2), expand=False),
        Padding(_ballot(result, width - 4), indent, expand=False),
        Padding(Text(_numbers(result), style="bright_black"), indent, expand=False),
        Padding(Text(ended, style="bright_black"), indent, expand=False),
    ]
    return Group(*parts)


def _numbers(result: SolveResult) -> str:
    votes = next((line.votes for line in result.ballot if line.answer == result.answer), 0)
    speed = result.tokens.sampled / result.seconds if result.seconds > 0 else 0.0
    return (
        f"{votes} of {len(result.attempts)} votes · {result.tokens.sampled:,} tokens · "
        f"{result.seconds:.1f} s · {speed:,.0f} tok/s"
    )


def _ballot(result: SolveResult, width: int) -> Text:
    lines = result.ballot[:_BALLOT_LINES]
    if len(lines) < 2:
        return Text()
    most = max(line.votes for line in lines)
    text = Text()
    for line in lines:
        answer = Text(one_line(line.answer))
        answer.truncate(min(24, width // 3), overflow="ellipsis", pad=True)
        text.append_text(answer).append(" ")
        text.append_text(bar(line.votes / max(most, 1), min(30, width // 3), "green"))
        text.append(f" {line.votes} · {line.weight:.2f}\n", style="bright_black")
    return text
