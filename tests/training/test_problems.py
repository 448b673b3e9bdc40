"""Problems: published sets, solve rates, variants run in a real sandbox, contamination."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.training import letters
from tests.training.test_corpus import read_json, row, write
from training import errors
from training.corpus.build import build
from training.corpus.rules import Rules
from training.problems import commands
from training.problems.absent import answer_pattern, ascii_digits, find_answer
from training.problems.overlap import contaminated
from training.problems.rate import rates
from training.problems.read import Problem, read_problems
from training.problems.sources import Wanted, load
from training.problems.variants import modulo


def test_published_sets_come_in_one_form(tmp_path: Path) -> None:
    numina = write(
        tmp_path / "numina.jsonl",
        [
            {"source": "olympiads", "problem": "A?", "solution": r"So \boxed{42}."},
            {"source": "olympiads", "problem": "A?", "solution": r"Again \boxed{42}."},
            {"source": "cn_k12", "problem": "B?", "solution": r"\boxed{7}"},
            {"source": "olympiads", "problem": "C?", "solution": r"\boxed{\frac12}"},
            {"source": "olympiads", "problem": "D?", "solution": "no box"},
            {"source": "olympiads", "problem": "E?", "solution": r"\boxed{1000000}"},
        ],
    )
    (only,) = load(
        "numinamath-cot", [numina], Wanted(integer=True, origins=frozenset({"olympiads"}))
    )
    assert (only.statement, only.answer, only.licence) == ("A?", "42", "Apache-2.0")
    assert [each.answer for each in load("numinamath-cot", [numina], Wanted())][1:3] == [
        "7",
        r"\frac12",
    ]
    levels = [
        {"unique_id": f"m{n}", "problem": f"{n}?", "solution": rf"\boxed{{{n}}}",
         "level": f"Level {n}"}
        for n in range(1, 6)
    ]  # fmt: skip
    kept = load("math", [write(tmp_path / "math.jsonl", levels)], Wanted(least_level=4))
    assert [each.id for each in kept] == ["m4", "m5"]
    with pytest.raises(errors.BadTraces, match="must be one of aimo3-reference"):
        list(load("nonsense", [numina], Wanted()))
    wrong = write(tmp_path / "wrong.jsonl", [{"text": "?"}])
    with pytest.raises(errors.BadTraces, match="is it MATH"):
        list(load("math", [wrong], Wanted()))


def test_own_statements_are_read_as_people_name_their_columns(tmp_path: Path) -> None:
    answers = tmp_path / "bench.csv"
    answers.write_text(
        'Problem ID,Problem,Short Answer,Source\nb-1,"Find ""all"" x",$3$,IMO 2011\nb-2,Let,x,\n'
    )
    (only,) = load("imo", [answers], Wanted(integer=True))
    assert (only.id, only.statement, only.answer) == ("b-1", 'Find "all" x', "3")
    euler = tmp_path / "euler.json"
    euler.write_text(json.dumps([{"id": 1, "statement": "Sum", "answer": 233168}], indent=1))
    assert [(each.id, each.answer) for each in load("project-euler", [euler], Wanted())] == [
        ("1", "233168")
    ]


def test_a_set_in_several_files_is_one_set(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for number, names in enumerate(("ab", "bc")):
        rows = [{"problem": f"{each}?", "solution": rf"\boxed{{{number}}}"} for each in names]
        write(tmp_path / "data" / f"train-{number}.jsonl", rows)
    (tmp_path / "data" / "README.md").write_text("about")
    target = tmp_path / "out.jsonl"
    commands.load_command("numinamath-tir", [tmp_path / "data"], target=target)
    found = [(each.id, each.statement, each.answer) for each in read_problems(target)]
    assert found == [
        ("numinamath-tir-1", "a?", "0"), ("numinamath-tir-2", "b?", "0"),
        ("numinamath-tir-4", "c?", "1"),
    ]  # fmt: skip
    told = json.loads((tmp_path / "out.origin.json").read_text())
    assert [each["name"] for each in told["inputs"]] == ["train-0.jsonl", "train-1.jsonl"]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(errors.BadTraces, match="has no file"):
        list(load("math", [empty], Wanted()))


def test_long_rows_and_rows_without_a_statement_are_read(tmp_path: Path) -> None:
    path = tmp_path / "math.csv"
    with path.open("w", newline="") as file:
        rows = [("problem", "solution", "level"), ("", r"\boxed{1}", ""),
                ("P", "x" * 300_000 + r"\boxed{7}", "Level 3")]  # fmt: skip
        csv.writer(file).writerows(rows)
    (only,) = load("math", [path], Wanted())
    assert (only.answer, only.more) == ("7", {"level": "Level 3"})


def test_a_sets_name_and_its_problems_origin_are_both_kept(tmp_path: Path) -> None:
    rows = [{"source": "olympiads", "problem": "A?", "solution": r"\boxed{42}", "messages": []}]
    target = tmp_path / "out.jsonl"
    commands.load_command("numinamath-cot", [write(tmp_path / "n.jsonl", rows)], target=target)
    (only,) = read_problems(target)
    assert (only.source, only.more) == ("NuminaMath-CoT", {"origin": "olympiads"})


def test_problems_are_rated_by_their_attempts(tmp_path: Path) -> None:
    problems = write(
        tmp_path / "p.jsonl",
        [{"id": name, "problem": f"{name}?", "answer": 7} for name in ("a", "b", "c")],
    )
    rows = [row("a", [1]), row("a", [2], answer="8"), row("b", [3]), row("b", [4])]
    traces = write(tmp_path / "t.jsonl", rows)
    commands.rate_command(problems, [traces], target=tmp_path / "all.jsonl")
    with (tmp_path / "all.csv").open(newline="") as file:
        told = {each["id"]: each for each in csv.DictReader(file)}
    assert (told["a"]["solve_rate"], told["a"]["failures"]) == ("0.5000", "8")
    assert (told["c"]["attempts"], told["c"]["solve_rate"]) == ("0", "")
    commands.rate_command(problems, [traces], target=tmp_path / "hard.jsonl", most=0.9)
    assert [each["id"] for each in read_json(tmp_path / "hard.jsonl")] == ["a"]
    origin = json.loads((tmp_path / "hard.origin.json").read_text())
    assert [each["name"] for each in origin["inputs"]] == ["p.jsonl", "t.jsonl"]


def test_attempts_that_were_cut_off_are_not_rated(tmp_path: Path) -> None:
    problems = write(tmp_path / "p.jsonl", [{"id": "a", "problem": "a?", "answer": 7}])
    cut = [row("a", [n], answer=None, end=end) for n, end in enumerate(("early_stop", "deadline"))]
    plan = row("a", [500_001], answer=None, end="planned", role="plan")
    traces = write(tmp_path / "t.jsonl", [row("a", [9]), *cut, plan])
    (rate,) = rates(read_problems(problems), [traces]).values()
    assert (rate.attempts, rate.right, rate.failures) == (1, 1, ())


def test_a_table_does_not_take_an_inputs_place(tmp_path: Path) -> None:
    problems = tmp_path / "p.csv"
    problems.write_text("id,problem,answer\na,a?,7\n")
    traces = write(tmp_path / "t.jsonl", [row("a", [1])])
    for target in ("p.jsonl", "new.csv"):
        with pytest.raises(errors.BadTraces, match="must be another file"):
            commands.rate_command(problems, [traces], target=tmp_path / target)
    assert problems.read_text() == "id,problem,answer\na,a?,7\n"


def test_subjects_and_stated_rates_are_filtered(tmp_path: Path) -> None:
    rows = [
        {"unique_id": f"m{n}", "problem": f"{n}?", "solution": rf"\boxed{{{n}}}", **told}
        for n, told in enumerate([{"type": "Algebra"}, {"subject": "Geometry"}, {}])
    ]
    path = write(tmp_path / "math.jsonl", rows)
    wanted = Wanted(subjects=frozenset({"algebra", "geometry"}))
    assert [each.id for each in load("math", [path], wanted)] == ["m0", "m1"]
    hard = [
        {"id": str(n), "problem": f"{n}?", "expected_answer": "1", "pass_rate_72b_tir": rate}
        for n, rate in enumerate(["0.0", 0.5, "n/a", None, 1.0])
    ]
    path = write(tmp_path / "reasoning.jsonl", hard)
    found = load("openmathreasoning", [path], Wanted(least_rate=0.1, most_rate=0.9))
    assert [each.id for each in found] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("answer", "text", "there"),
    [
        ("1234", "so 1234.", True),
        ("1234", "so 01234, then", True),
        ("1234", r"$1{,}234$ or 1,234", True),
        ("1234", r"$1\,234$", True),
        ("1234", "1234.00", True),
        ("01234.0", "n=1234;", True),
        ("1234", "12345 and 51234", False),
        ("1234", "1234.5 and 0.1234 and 51,234 and 1,234,567", False),
        ("1234", "12 34", False),
        ("-5", "it is \u22125", True),
        ("-5", "it is 5", False),
        ("5", "x5 = 15, 50, 5", True),
        ("x + 1", "is x+1.", True),
        ("x + 1", "is x+10", False),
        ("401", "[400,401]", True),
        ("401", r"the set \{400,401\}", True),
        ("401", "pow(3,401,1000)", True),
        ("401", "f(2,401)", True),
        ("401", "2,401 ways", False),
        ("401", r"\boxed{2,401}", False),
        ("401", "a list,2,401 ways", False),
        ("401", "3.14,401", True),
        ("111", "111," * 20_000 + "111", True),
        ("57", "gcd(3,57), (57,3), 1..57", True),
        ("57", "3.57 and 57.3", False),
        ("12345", "pow(3,12345,1000)", True),
        ("12345", "answer...12345", True),
        ("12345", "12_345", True),
        ("12345", r"$12{\,}345$", True),
        ("12345", r"$12\:345$", True),
        ("12345", r"$12,\!345$", True),
        ("12345", "12~345", True),
        ("12345", "12'345", True),
        ("12345", "\uff11\uff12\uff13\uff14\uff15", True),
        ("401", "401\u00b2", True),
        ("-5", "$-{5}$", True),
        ("-5", "3-5", False),
    ],
)  # fmt: skip
def test_answers_are_found_however_they_are_written(answer: str, text: str, there: bool) -> None:
    assert (find_answer(answer_pattern(answer), ascii_digits(text)) is not None) == there


def test_a_corpus_is_shown_not_to_have_an_originals_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = letters.save(tmp_path / "tokenizer.json")
    texts = ["What is $2^5$? It is 32.", "what IS $3^3$?  It is 27."]
    rows = [row(f"power-{n}", tokenizer.encode(text).ids) for n, text in enumerate(texts)]
    build([write(tmp_path / "t.jsonl", rows)], tmp_path / "corpus", Rules())

    def prove(answer: str, statement: str = "What is $2^{10}$?") -> dict[str, Any]:
        originals = write(
            tmp_path / "o.jsonl", [{"id": "power", "problem": statement, "answer": answer}]
        )
        commands.absent_command(
            originals, tmp_path / "corpus", tokenizer=tmp_path / "tokenizer.json",
            target=tmp_path / "proof.json",
        )  # fmt: skip
        told: dict[str, Any] = json.loads((tmp_path / "proof.json").read_text())
        return told

    told = prove("1024")
    assert told["figures"] == {"originals": 1, "entries": 2, "found": 0}
    assert told["originals"] == {"power": "absent"}
    assert [each["name"] for each in told["inputs"]][1:3] == ["entries.parquet", "prompts.parquet"]
    with pytest.raises(typer.Exit):
        prove("27")
    assert "its answer is in entry 1 of power-1" in capsys.readouterr().out
    with pytest.raises(typer.Exit):
        prove("1024", "What is $3^3$?")
    assert "its statement is in entry 1" in capsys.readouterr().out
    with pytest.raises(errors.BadTraces, match="power has no answer"):
        prove("")


FAMILY = """
id = "power"
statement = "What is the remainder when ${a}^{{{n}}}$ is divided by $1000$?"
source = "own"
licence = "CC0-1.0"
solver = '''
def solve(a, n):
    return pow(a, n, 1000)
'''
check = '''
def solve(a, n):
    result = 1
    for _ in range(n):
        result = result * a % 1000
    return result + (a == 5)
'''
[ranges]
a = [2, 6]
n = [3, 20]
[original]
a = 2
n = 10
"""


def test_variants_have_answers_that_two_programs_agree_on(url: str, tmp_path: Path) -> None:
    (tmp_path / "family.toml").write_text(FAMILY)
    target = tmp_path / "variants.jsonl"
    commands.vary_command([tmp_path / "family.toml"], target=target, count=12, url=url)
    variants = read_problems(target)
    assert len(variants) == 12
    for each in variants:
        parameters = each.more["parameters"]
        assert parameters["a"] != 5  # the check disagrees there
        assert each.answer == str(pow(parameters["a"], parameters["n"], 1000)) != "24"
        assert f"${parameters['a']}^{{{parameters['n']}}}$" in each.statement
        assert each.licence == "CC0-1.0"
    broken = FAMILY.replace("pow(a, n, 1000)", "1 // 0")
    (tmp_path / "family.toml").write_text(broken)
    with pytest.raises(errors.BadTraces, match=r"(?s)solver fails .*ZeroDivisionError"):
        commands.vary_command([tmp_path / "family.toml"], target=target, count=1, url=url)
    (tmp_path / "family.toml").write_text(FAMILY.replace("n = [3, 20]", ""))
    with pytest.raises(errors.BadTraces, match="'n', which has no range"):
        commands.vary_command([tmp_path / "family.toml"], target=target, url=url)


def test_families_that_would_make_bad_variants_are_refused_before_any_is_run(
    tmp_path: Path,
) -> None:
    one, other = tmp_path / "family.toml", tmp_path / "other.toml"
    nobody, target = "http://127.0.0.1:9", tmp_path / "variants.jsonl"
    one.write_text(FAMILY)
    # the variants of n = 3 and of n = 4 would be one problem with two answers
    other.write_text(FAMILY.replace("{{{n}}}", "3"))
    with pytest.raises(errors.BadTraces, match=r"other.toml: its statement does not name n"):
        commands.vary_command([one, other], target=target, url=nobody)
    other.write_text(FAMILY)
    with pytest.raises(errors.BadTraces, match="the family power is there twice"):
        commands.vary_command([one, other], target=target, url=nobody)


def test_large_answers_are_asked_modulo_a_number() -> None:
    large = Problem("p", "How many?", str(2**100), "S", "MIT", {})
    made = modulo(large, 99_991)
    assert made is not None
    assert made.answer == str(2**100 % 99_991)
    assert "divided by $99991$" in made.statement
    assert modulo(Problem("p", "How many?", "5", "S", "MIT", {}), 99_991) is None
    assert modulo(Problem("p", "How many?", "x+1", "S", "MIT", {}), 99_991) is None


def test_short_problems_of_an_evaluation_are_found_inside_longer_ones() -> None:
    evaluation = [Problem("short", "How many primes are below 100?", "25", "", "", {})]
    problems = [
        Problem(
            "inside", "Answer this: how many primes are below $100$? Thank you.", None, "", "", {}
        ),
        Problem(
            "other", "How many primes are below 200, and how many below 1000?", None, "", "", {}
        ),
    ]
    assert contaminated(problems, evaluation) == {"inside": "short"}


def test_problems_of_an_evaluation_are_found_in_other_words_about_them() -> None:
    held = "Let $n$ be a positive integer such that the sum of its digits is 17 and n is prime."
    evaluation = [Problem("held", held, "1", "", "", {})]
    problems = [
        Problem("same", held.replace("$", "").upper(), None, "", "", {}),
        Problem("inside", f"Consider this. {held} Find it.", None, "", "", {}),
        Problem("numbers", held.replace("17", "19"), None, "", "", {}),
        Problem("other", "How many primes are less than 100?", None, "", "", {}),
    ]
    found = contaminated(problems, evaluation)
    assert set(found) == {"same", "inside", "numbers"}
    assert set(found.values()) == {"held"}
