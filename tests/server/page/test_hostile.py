"""Nothing that a model, a kernel or a caller wrote is ever HTML, or commands who reads it."""

from urllib.parse import quote

import httpx
import pytest

from server.page.mathematics import formula
from server.page.policy import CONTENT_POLICY
from server.page.prose import Formulas, PieceKind, pieces
from server.page.visible import clipped, visible
from tests.server.page.hostile import FORMULA, HOSTILE, SCRIPT, SOLVE
from tests.server.page.markup import dangers, parse

VIEWS = [
    "/",
    f"/?text={'%3Cscript%3E'}",
    f"/solves/{SOLVE}",
    f"/solves/{SOLVE}/attempts/0",
    f"/solves/{SOLVE}/attempts/0?part=2",
    f"/solves/{SOLVE}/attempts/0/tokens",
    f"/compare?a={SOLVE}:0&b=solve-a:1",
    "/runs",
    "/data",
    "/data/corpus.csv",
    "/data/samples.jsonl",
    "/data/corpus.jsonl",
    "/solves/%3Cscript%3Ealert(1)%3Cscript%3E",
]


@pytest.mark.parametrize("path", VIEWS)
def test_view_shows_hostile_text_as_text(http: httpx.Client, path: str) -> None:
    for export in ("", "&export" if "?" in path else "?export"):
        response = http.get(path + export)
        assert dangers(response.text) == []
        assert response.headers["content-security-policy"] == CONTENT_POLICY
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "same-origin"


def test_names_that_callers_give_are_text(http: httpx.Client) -> None:
    hostile = "".join(each for each in HOSTILE[:200] if each.isprintable())
    asked = {"id": "hostile-run", "name": hostile, "problems": 1, "limit_s": 60}
    created = http.post("/v1/runs", json=asked)
    assert created.status_code in (200, 201), created.text
    asked = {"run": "hostile-run", "problem_id": hostile, "problem": "What is 6 * 7?"}
    solve = http.post("/v1/solves", json=asked)
    assert solve.status_code == 200, solve.text
    views = ["/runs", "/runs/hostile-run", f"/?source={quote(hostile)}", "/?run=%22%3E%3Cb%3E"]
    for path in (*views, f"/solves/{solve.json()['solve_id']}"):
        for export in ("", "&export" if "?" in path else "?export"):
            page = http.get(path + export)
            assert dangers(page.text) == [], path
            assert "\n" not in page.headers.get("content-disposition", "")
    shown = parse(http.get("/runs/hostile-run").text).text
    assert SCRIPT[:30] in shown


def test_hostile_text_is_all_there(http: httpx.Client) -> None:
    text = parse(http.get(f"/solves/{SOLVE}/attempts/0").text).text
    assert SCRIPT in text
    assert "user\ufffdgnp.exe" in text
    assert "\u241b[31mred" in text


def test_export_runs_nothing_and_loads_nothing(http: httpx.Client) -> None:
    response = http.get(f"/solves/{SOLVE}?export")
    assert response.headers["content-disposition"] == f'attachment; filename="{SOLVE}.html"'
    elements = parse(response.text).elements
    policies = [a.get("content") for _, a in elements if a.get("http-equiv")]
    assert policies
    assert str(policies[0]).startswith("default-src 'none'; style-src 'sha256-")
    assert [a for tag, a in elements if tag in ("script", "link", "form")] == []
    assert [a["href"] for tag, a in elements if tag == "a"] == ["#main"]


@pytest.mark.parametrize(
    ("latex", "shown"),
    [
        (r"\frac{1}{2}", True),
        (r"\text{<script>alert(1)</script>}", True),
        (r"\href{javascript:alert(1)}{x}", True),
        (r"\style{position:fixed}{x}", True),
        (r"\frac{", False),
        (r"\unknowncommand{x}", False),
        ("{" * 900, False),
        (r"\frac" * 200, False),
        ("^" * 100, False),
        ("x" * 5_000, False),
        ("", False),
    ],
)
def test_formula_is_harmless_or_left_as_it_is(latex: str, shown: bool) -> None:
    found = formula(latex)
    made = None if found is None else found.__html__()
    assert (made is not None) is shown
    if made is not None:
        assert dangers(made) == []
        names = {name for _, attributes in parse(made).elements for name in attributes}
        assert names.isdisjoint({"href", "style", "class"})


def test_pieces_are_all_of_a_text() -> None:
    text = f"{HOSTILE} $x$ costs $5 and $10; \\(a\\) \\[b\\] $$c$$ **d** `e` \\boxed{{f}} $\n$"
    found = list(pieces(text, Formulas()))
    kinds = {piece.kind for piece in found}
    assert kinds == {PieceKind.TEXT, PieceKind.MATH, PieceKind.STRONG, PieceKind.CODE}
    marks = {"**": "", "`": ""}
    joined = "".join(piece.text for piece in found)
    plain = visible(text)
    for mark, nothing in marks.items():
        joined, plain = joined.replace(mark, nothing), plain.replace(mark, nothing)
    assert joined == plain


def test_formulas_of_a_page_are_bounded() -> None:
    found = list(pieces("$x$ " * 10, Formulas(left=3)))
    assert sum(piece.kind is PieceKind.MATH for piece in found) == 3


@pytest.mark.parametrize("opening", ["$a", "\\(", "\\[", "**", "`", "\\boxed{", "$$a", "$a $"])
def test_pieces_of_many_openings_come_in_linear_time(opening: str) -> None:
    text = opening * (200_000 // len(opening))
    assert sum(len(piece.text) for piece in pieces(text, Formulas())) >= len(text) * 0.9


def test_visible() -> None:
    assert visible("a\x1bb\ud800c\u202ed\u200fe") == "a\u241bb\ufffdc\ufffdd\ufffde"
    assert visible(None) == ""
    assert visible("line\n\ttab") == "line\n\ttab"
    assert clipped("a  b\nc", 10) == "a b c"
    assert clipped("x" * 1_000_000, 5) == "xxxx…"


def test_formula_that_does_not_parse_is_shown_as_written() -> None:
    (piece,) = pieces(r"$\unknown{x}$", Formulas())
    assert (piece.kind, piece.text) == (PieceKind.TEXT, r"$\unknown{x}$")
    assert FORMULA.startswith("$")
