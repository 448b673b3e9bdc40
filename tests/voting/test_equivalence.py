"""Equal answers share a line: what exact arithmetic says, and what is left to ask."""

import itertools
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.voting.outcomes import answer
from voting.answers import MAX_WRITTEN_CHARACTERS, AnswerKind, parse_answer
from voting.ballot import Vote
from voting.equivalence import MAX_COMPARED, AnswerClasses, AnswerRules, compare
from voting.exact import Comparison, Opaque, compare_exact, read_exact
from voting.printed import printed
from voting.requests import Reply, Request, Same, Sameness

SAME, DIFFERENT, UNKNOWN = Comparison.SAME, Comparison.DIFFERENT, Comparison.UNKNOWN


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("42", "042", SAME),
        ("42", "43", DIFFERENT),
        (r"\frac12", "0.5", SAME),
        ("1/2", r"\dfrac{2}{4}", SAME),
        (r"50\%", "1/2", SAME),
        (r"50\%", "50", DIFFERENT),
        ("28 percent", r"28\%", SAME),
        ("1,000.99", "1000.99", SAME),
        ("0.333333", r"\frac13", DIFFERENT),
        (r"x = \frac{1}{2}", "0.5", SAME),
        ("x=1,y=2", "a=1,y=2", DIFFERENT),
        ("x=1, y=2", "y=2, x=1", SAME),
        ("x=1, y=2", "(1,2)", SAME),
        ("x=1, y=2", "1, 2", SAME),
        ("x=1, y=2", "2, 1", DIFFERENT),
        ("x=1, y=2", r"\{1,2\}", DIFFERENT),
        (r"x=1, y=\sqrt{2}", r"\sqrt{2}, 1", DIFFERENT),
        ("x=2, y=2", "2", DIFFERENT),
        ("x + y = 1", "x - y = 1", UNKNOWN),
        ("x^2 + y^2 = 25", "25", UNKNOWN),
        ("m + n = 25", "25", SAME),
        ("-x = 3", "3", UNKNOWN),
        (r"33\frac{1}{3}\%", r"\frac13", SAME),
        (r"\frac{3}{4} = 0.75", "0.75", SAME),
        (r"14 \cdot -6 = -84", "-84", SAME),
        (r"\frac{3 \times -4}{8}", "-1.5", SAME),
        (r"2 \cdot -3^2", "-18", SAME),
        (r"6 \div -4", "-1.5", SAME),
        (r"2 \cdot --3", "6", UNKNOWN),
        (r"\frac{3}{4} = 0.7", "0.75", UNKNOWN),
        (r"= \frac{3}{4}", "0.75", SAME),
        ("p implies q", "q implies p", DIFFERENT),
        ("x divides y", "x divides y.", SAME),
        ("C", "C. x = 42", SAME),
        ("(B)", r"\textbf{(C)}\ 12", DIFFERENT),
        ("B", r"\textbf{(B)}\ 12", SAME),
        ("A", "(A)(B)", UNKNOWN),
        ("Option A", "(A)", SAME),
        ("xy", r"x \cdot y", UNKNOWN),
        ("1 000 000", "1000000", SAME),
        ("1'000'000", "1000000", SAME),
        ("1 234", "1234", UNKNOWN),
        ("\uff081\uff0c2\uff09", "(1,2)", SAME),
        ("\u20137", "-7", SAME),
        ("(-inf, 1]", r"(-\infty, 1]", SAME),
        ("(1,2) U (3,4)", r"(1,2)\cup(3,4)", SAME),
        ("ln(2)", r"\ln(2)", SAME),
        ("5 choose 2", r"\binom{5}{2}", SAME),
        (r"\frac\pi2", r"\frac{\pi}{2}", SAME),
        (r"2^{-99}", r"2^{-98}", DIFFERENT),
        (r"2^{10}", "1024", SAME),
        (r"3\cdot(2-5)", "-9", SAME),
        (r"\{1,2\}", r"\{2,1\}", SAME),
        (r"\{1,2\}", r"\{1,2,3\}", DIFFERENT),
        ("1, 2", "2, 1", SAME),
        ("(1, 2)", "(2, 1)", DIFFERENT),
        ("(1, 2]", "(1, 2)", DIFFERENT),
        (r"(\frac12, 3)", "(0.5, 3)", SAME),
        ("(1, x)", "(2, x)", DIFFERENT),
        ("(1, x+1)", "(1, 1+x)", UNKNOWN),
        ("x^2-1", "(x-1)(x+1)", UNKNOWN),
        ("1/0", "2/0", UNKNOWN),
        ("2", "1, 2", DIFFERENT),
        ("3", r"\{3\}", UNKNOWN),
        (r"3 \pmod 7", r"x \equiv 10 \pmod{7}", SAME),
        (r"3 \pmod 7", r"3 \text{ mod } 7", SAME),
        (r"3 \pmod 7", r"3 \pmod{11}", DIFFERENT),
        (r"3 \pmod 7", "3", UNKNOWN),
        (r"\text{Even}", "even", SAME),
        (r"\text{yes}", r"\text{no}", DIFFERENT),
        (r"\text{no solution}", "x+1", DIFFERENT),
        ("9^{9^9}", "9^{9^9}+1", UNKNOWN),
        ("2024-01-01", "2022", UNKNOWN),
        ("10--20", "30", UNKNOWN),
        ("x^2=4", "4", UNKNOWN),
        (r"\text{all real numbers}", r"\mathbb{R}", SAME),
        (r"\varnothing", r"\emptyset", SAME),
        ("1 and 2", "2, 1", SAME),
        ("4 or -4", "-4, 4", SAME),
        ("1 or 2", "1", DIFFERENT),
        ("(B)", r"\textbf{B}", SAME),
        ("(A)", "(B)", DIFFERENT),
        (r"0.\overline{3}", r"\frac13", SAME),
        (r"0.1\overline{6}", "1/6", SAME),
        (r"0.1\bar{6}", "1/6", SAME),
        (r"0.\bar{3}", "0.3", DIFFERENT),
        ("0.(142857)", "1/7", SAME),
        (r"0.\overline{12}", r"0.\overline{21}", DIFFERENT),
        (r"0.\overline{3}", "0.3", DIFFERENT),
        ("3 1/2", "3.5", SAME),
        ("3 1/2", "31/2", DIFFERENT),
        ("-3 1/2", "-3.5", SAME),
        ("3 1/0", "3", UNKNOWN),
        ("1.5e3", "1500", SAME),
        ("1e-3", "0.001", SAME),
        ("1e3", "13", DIFFERENT),
        ("\u00bd", "0.5", SAME),
        ("5\u00bd", "5.5", SAME),
        ("5\u00b2", "25", SAME),
        ("2**10", "1024", SAME),
        ("10\u207b\u00b2", "0.01", SAME),
        (r"\frac{3}{2} \text{ cm}^2", "1.5", SAME),
        (r"\frac{3}{4}\text{ hours}", "3/4", SAME),
        (r"\frac13\text{ million}", r"\frac13", UNKNOWN),
        (r"\frac34\text{ percent}", r"\frac34", DIFFERENT),
        (r"\{\}", r"\text{the empty set}", SAME),
        # The case of variables counts, that of words does not.
        ("AB", "ab", DIFFERENT),
        ("aB", "Ab", DIFFERENT),
        ("Rr", "rr", DIFFERENT),
        ("S=pr", "S=PR", DIFFERENT),
        ("R=AB", "r=ab", DIFFERENT),
        ("AB-c", "ab-c", DIFFERENT),
        ("Mm-m", "mm-M", UNKNOWN),
        (r"\pi Rr", r"\pi rr", UNKNOWN),
        ("p implies q", "P implies q", DIFFERENT),
        (r"\triangle ABC", r"\triangle abc", DIFFERENT),
        ("Yes", "yes", SAME),
        ("DNE", "dne", SAME),
        ("Well-defined", "well-defined", SAME),
        ("Is not Odd", "is not odd", SAME),
        # Products of letters in any order; words and numerals have one.
        ("ab", "ba", UNKNOWN),
        ("kmn", "mnk", UNKNOWN),
        ("ab-a-b", "ab - b - a", UNKNOWN),
        ("ab-a", "a(b-1)", UNKNOWN),
        ("AB", r"A \cdot B", UNKNOWN),
        ("ab", "ac", DIFFERENT),
        ("no", "on", DIFFERENT),
        ("XI", "IX", DIFFERENT),
        ("ab", "none", DIFFERENT),
        (r"\angle ABC", r"\angle ACB", DIFFERENT),
        (r"\frac ab", r"\frac{a}{b}", SAME),
        # Words that change a number, and conditions in words.
        ("12 noon", "12 midnight", DIFFERENT),
        ("5 north", "5 south", DIFFERENT),
        (r"20\text{ profit}", r"20\text{ loss}", UNKNOWN),
        (r"\text{the line }x+y=1", r"\text{the line }x-y=1", UNKNOWN),
        (r"\text{all integers except } n=3", "3", UNKNOWN),
        ("z^n=1", "1", UNKNOWN),
    ],
)
def test_two_answers(one: str, other: str, expected: Comparison) -> None:
    assert compare(answer(one), answer(other)) is expected
    assert compare(answer(other), answer(one)) is expected


@pytest.mark.parametrize(
    ("rules", "one", "other", "expected"),
    [
        (AnswerRules(percent_is_number=True), r"50\%", "50", SAME),
        (AnswerRules(percent_is_number=True), r"50\%", "0.5", DIFFERENT),
        (AnswerRules(ordered_lists=True), "1, 2", "2, 1", DIFFERENT),
        (AnswerRules(ordered_lists=True), "1, 2", "1, 2.0", SAME),
        (AnswerRules(ordered_lists=True), r"\{1,2\}", r"\{2,1\}", SAME),
    ],
)
def test_rules(rules: AnswerRules, one: str, other: str, expected: Comparison) -> None:
    assert compare(answer(one), answer(other), rules) is expected


def test_a_symbolic_check_is_asked_in_a_way_that_keeps_the_rules() -> None:
    rules = AnswerRules(ordered_lists=True, percent_is_number=True)
    assert rules.as_written(answer("x, y")) == "(x,y)"
    assert rules.as_written(answer(r"x\%")) == "x"
    assert AnswerRules().as_written(answer("x, y")) == "x,y"


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("3 1/2", r"\frac{7}{2}"),
        ("-3 1/2", r"-\frac{7}{2}"),
        ("1e3", "1000"),
        ("1,000.5", r"\frac{2001}{2}"),
        (r"0.\overline{3}", r"\frac{1}{3}"),
        (r"x = 2\frac{3}{4}\%", r"\frac{11}{400}"),
        ("1e999", "1e999"),
    ],
)
def test_a_symbolic_check_is_told_a_number_without_its_form(written: str, asked: str) -> None:
    # Its grammar takes "3 1/2" for 2, and "1e3" for e times 3.
    assert AnswerRules().as_written(answer(written)) == asked


@given(st.fractions(max_denominator=9999), st.fractions(max_denominator=9999))
def test_fractions_are_equal_as_their_values_are(one: Fraction, other: Fraction) -> None:
    written = [rf"\frac{{{each.numerator}}}{{{each.denominator}}}" for each in (one, other)]
    expected = SAME if one == other else DIFFERENT
    assert compare(answer(written[0]), answer(written[1])) is expected


@given(st.text(alphabet="0123456789+-*/^{}()[],.%\\fracx !=", max_size=60))
def test_any_text_is_read_and_equals_itself(text: str) -> None:
    value = read_exact(text)
    assert compare_exact(value, value) is SAME


@pytest.mark.parametrize(
    "hostile",
    [
        "(" * 400, "\\{" * 200, "2" + "^2" * 199, "9^{9^{9^{9}}}", "9" * 399, "-" * 400,
        "(" * 199 + "1" + ")" * 199, "1/" * 199 + "1", "2^{4096}*" * 40 + "2", ",".join("1" * 200),
        "\\frac{" * 60 + "1" + "}{2}" * 60,
    ],
)  # fmt: skip
def test_hostile_numbers_take_no_time(hostile: str) -> None:
    started = time.process_time()
    read_exact(hostile)
    assert time.process_time() - started < 0.5


def test_an_answer_of_a_megabyte_is_none() -> None:
    assert parse_answer("9+" * 500_000, AnswerKind.TEXT) is None
    assert MAX_WRITTEN_CHARACTERS < 1_000_000
    assert isinstance(read_exact("9+" * 500_000), Opaque)


class TestClasses:
    def classes(self, *written: str) -> AnswerClasses:
        classes = AnswerClasses()
        for each in written:
            classes.add(answer(each))
        return classes

    def test_exactly_equal_answers_share_a_line_at_once(self) -> None:
        spelled = [r"\frac12", "0.5", "3/4", r"50\%"]
        classes = self.classes(*spelled)
        assert classes.questions() == ()
        votes = [Vote(number, answer(each)) for number, each in enumerate(spelled)]
        ballot = classes.ballot(votes)
        assert [line.attempts for line in ballot.lines] == [(0, 1, 3), (2,)]
        assert ballot.lines[0].answer.written == r"\frac12"

    def test_what_is_open_is_asked_once_and_merged_when_equal(self) -> None:
        classes = self.classes("x^2-1", "(x-1)(x+1)", "x^2+1")
        asked = classes.questions()
        assert len(asked) == 3
        one, other = answer("x^2-1"), answer("(x-1)(x+1)")
        replies: dict[Request, Reply | None] = dict.fromkeys(asked)
        replies[Same(one, other)] = Sameness(equal=True)
        classes.learn(replies)
        assert classes.questions() == ()
        assert classes.of(other) == classes.of(one) == one
        assert classes.of(answer("x^2+1")) != one

    def test_what_had_no_reply_is_asked_again_once(self) -> None:
        classes = self.classes("x^2-1", "(x-1)(x+1)", "x^2+1")
        asked = classes.questions()
        said: dict[Request, Reply | None] = {
            **dict.fromkeys(asked),
            asked[1]: Sameness(equal=False),
        }
        classes.learn(said, again=True)
        assert classes.questions() == (asked[0], asked[2])
        classes.learn({asked[0]: Sameness(equal=True), asked[2]: None}, again=True)
        assert classes.questions() == ()
        assert classes.of(asked[0].other) == asked[0].one

    def test_merging_settles_what_follows_from_it(self) -> None:
        classes = self.classes("a+b", "b+a", "b+a+0")
        first, second = classes.questions()[:2]
        classes.learn({first: Sameness(equal=True), second: Sameness(equal=True)})
        assert classes.questions() == ()

    @pytest.mark.parametrize("numbers", ["1 234", "1 2", "1 2x", "(1 2,x)", "1e9,x"])
    def test_numbers_side_by_side_ask_nothing(self, numbers: str) -> None:
        # To the symbolic check "1 234" is 235: an answer that nobody gave would get its votes.
        assert self.classes("235", numbers, r"\sqrt{55225}").questions() == (
            Same(answer("235"), answer(r"\sqrt{55225}")),
        )

    def test_integers_ask_nothing(self) -> None:
        classes = self.classes(*(str(number) for number in range(256)))
        assert classes.questions() == ()

    @pytest.mark.parametrize(
        "written",
        [
            ("1,2", "(1,2)", "x=1,y=2", "(3,4)"),
            ("(1,2,3)", "1,2,3", "x=1,y=2,z=3", "3,2,1", "7"),
            ("C", "(C)42", "(C) 43", "D"),
        ],
    )
    def test_classes_do_not_depend_on_the_order(self, written: tuple[str, ...]) -> None:
        found = set()
        for order in itertools.permutations(written):
            classes = self.classes(*order)
            kept = {each: classes.of(answer(each)).key for each in written}
            found.add(
                frozenset(frozenset(e for e in kept if kept[e] == key) for key in kept.values())
            )
        assert len(found) == 1

    def test_a_ballot_has_one_winner_whatever_the_order(self) -> None:
        spelled = ["(3,4)", "(3,4)", "1,2", "(1,2)", "(1,2)", "x=1,y=2"]
        for order in itertools.permutations(range(6)):
            classes = self.classes(*(spelled[each] for each in order))
            ballot = classes.ballot(Vote(each, answer(spelled[each])) for each in order)
            assert [line.attempts for line in ballot.lines] == [(2, 3, 4, 5), (0, 1)]
            assert ballot.lines[0].answer == answer(next(spelled[e] for e in order if e > 1))

    @pytest.mark.parametrize("at_once", [True, False])
    def test_replies_join_what_only_a_third_answer_joins(self, at_once: bool) -> None:
        equal = {frozenset(("1-x", "y=1-x")), frozenset(("y=1-x", "x+y=1"))}
        for order in itertools.permutations(["1-x", "y=1-x", "x+y=1", "z^2"]):
            classes = AnswerClasses()
            for each in order:
                classes.add(answer(each))
                if not at_once or each == order[-1]:
                    asked = classes.questions()
                    pairs = [frozenset((each.one.written, each.other.written)) for each in asked]
                    said = [Sameness(pair in equal) for pair in pairs]
                    classes.learn(dict(zip(asked, said, strict=True)))
            kept = [classes.of(answer(each)) for each in ("1-x", "y=1-x", "x+y=1", "z^2")]
            assert kept[0] == kept[1] == kept[2] != kept[3]
            assert kept[0] == answer(next(each for each in order if each != "z^2"))

    def test_what_is_told_alike_is_asked_once(self) -> None:
        classes = self.classes("1/2", "0.5", r"\sqrt{1/4}", r"50\%")
        assert classes.questions() == (Same(answer("1/2"), answer(r"\sqrt{1/4}")),)

    def test_a_new_answer_asks_so_much_at_most_and_of_every_class_first(self) -> None:
        others = [f"x^{number}" for number in range(2, 2 + MAX_COMPARED)]
        classes = self.classes(r"x\cdot x", *others, "y+1")
        asked = [each.one for each in classes.questions() if each.other == answer("y+1")]
        assert len(asked) == MAX_COMPARED
        classes = self.classes("x^2", r"x\cdot x", "x^3")
        joined = next(each for each in classes.questions() if each.other == answer(r"x\cdot x"))
        classes.learn({joined: Sameness(equal=True)})
        classes.add(answer("y+1"))
        asked = [each.one for each in classes.questions() if each.other == answer("y+1")]
        assert asked == [answer("x^2"), answer("x^3"), answer(r"x\cdot x")]

    def test_hundreds_of_answers_are_sorted_in_quickly(self) -> None:
        started = time.process_time()
        classes = self.classes(*(f"x^{number}+y" for number in range(256)))
        assert classes.questions()
        assert time.process_time() - started < 4

    def test_an_answer_never_added_stands_for_itself(self) -> None:
        assert self.classes("1").of(answer("2")) == answer("2")


@pytest.mark.parametrize(
    ("written", "outputs", "expected"),
    [
        ("42", ["41\n42\n"], True),
        ("42", ["x = 42.0"], True),
        ("42", ["142", "42.5", "-42", "x42"], False),
        ("-7", ["-7"], True),
        (r"\frac{1}{2}", ["1/2"], True),
        (r"\frac{1}{2}", ["answer: 0.5"], True),
        (r"\frac{1}{2}", ["1/3"], False),
        ("42", [], False),
        ("42", ["42" + " " * 5_000], False),
    ],
)
def test_whether_code_printed_the_answer(written: str, outputs: list[str], expected: bool) -> None:
    assert printed(answer(written), outputs) is expected
