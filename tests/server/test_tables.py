"""Tables of a problem, read as records."""

import time

import pytest

from client.schema import AnswerKind
from server.prompts import compose
from server.prompts.tables import MOST_CHARACTERS, records

SCORES = r"""What was the mean?
\begin{tabular}[t]{|l|c|p{3cm}|}
\multicolumn{3}{c}{\textbf{Scores}}\\\hline
\textbf{Team} & $2{,}001$ & \text{Points \& more} \\[2pt] \hline
Reds & 1,234 & $-0.5$ \\ \cline{1-2}
Blues & 17 & $41\%$ \\
only one cell \\
\end{tabular}"""
READ = """\
data = [
    {"Team": "Reds", "2,001": 1234, "Points & more": -0.5},
    {"Team": "Blues", "2,001": 17, "Points & more": "41%"},
]
"""


def test_a_table_is_a_list_of_dictionaries() -> None:
    assert records(SCORES) == READ
    told: dict[str, object] = {}
    exec(records(SCORES), told)  # noqa: S102 - that it is Python
    assert told["data"] == [
        {"Team": "Reds", "2,001": 1234, "Points & more": -0.5},
        {"Team": "Blues", "2,001": 17, "Points & more": "41%"},
    ]


def test_several_tables_have_numbers() -> None:
    code = records(f"{SCORES} and {SCORES}")
    assert code.startswith("data1 = [")
    assert "\ndata2 = [" in code


@pytest.mark.parametrize(
    "problem",
    [
        "What is 2 + 2?",
        r"\begin{tabular}{c} x \\ y \end{tabular}",
        r"\begin{tabular}{cc} a & a \\ 1 & 2 \end{tabular}",
        r"\begin{tabular}{cc} & b \\ 1 & 2 \end{tabular}",
        r"\begin{tabular}{cc} a & b \\ 1 & 2 & 3 \end{tabular}",
        r"\begin{tabular}{cc} a & b \\ 1 & 2",
        r"\begin{tabular}{cc} a & b \\" + "1 & 2 \\\\ " * MOST_CHARACTERS + r"\end{tabular}",
    ],
)
def test_what_is_no_table_of_records_is_left_out(problem: str) -> None:
    assert records(problem) == ""


@pytest.mark.parametrize(
    "piece", [r"\begin{tabular}", r"\\[", "{", r"\hline", "1,111", "&", r"\begin{tabular}[", "$"]
)
def test_hostile_problems_cost_little(piece: str) -> None:
    begun = time.process_time()
    table = piece * (16_000 // len(piece))
    records(table)
    records(rf"\begin{{tabular}}{{cc}} a & b \\ {table} & 1 \end{{tabular}}")
    assert time.process_time() - begun < 5


def test_a_program_begins_with_the_tables() -> None:
    def begun(problem: str, chosen: str, variant: str) -> str:
        kind = AnswerKind.INTEGER
        return compose(problem, kind, tools=True, chosen=chosen, variant=variant).start

    assert begun(SCORES, "qwen", "literal") == f"```python\n{READ}"
    assert begun("Find {tables}.", "qwen", "literal") == "```python\n"
    assert begun(SCORES, "", "literal") == ""
