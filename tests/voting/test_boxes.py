import pytest
from hypothesis import given
from hypothesis import strategies as st

from voting.boxes import MAX_NESTED, boxed

CASES: list[tuple[str, list[str]]] = [
    ("", []),
    ("no box at all", []),
    (r"\boxed{42}", ["42"]),
    (r"\fbox{42}", ["42"]),
    (r"\boxed {42}", ["42"]),
    ("\\boxed\n{42}", ["42"]),
    (r"\boxed{}", [""]),
    (r"\boxed{ }", [" "]),
    (r"\boxed{1} and \boxed{2}", ["1", "2"]),
    (r"\boxed{\frac{1}{2}}", [r"\frac{1}{2}"]),
    (r"\boxed{\{1, 2\}}", [r"\{1, 2\}"]),
    (r"\boxed{a \} b}", [r"a \} b"]),
    (r"\boxed{a \\{b}}", [r"a \\{b}"]),
    (r"\boxed{1,234}", ["1,234"]),
    (r"\boxed{\text{red and {blue}}}", [r"\text{red and {blue}}"]),
    (r"$\boxed{42}$.", ["42"]),
    ("\\boxed{\n42\n}", ["\n42\n"]),
    ("\\boxed{a\n\nb}", ["a\n\nb"]),
    (r"\\boxed{42}", ["42"]),
    (r"\{\boxed{42}\}", ["42"]),
    (r"x\\\boxed{42}", ["42"]),
    (r"{ stray \boxed{42}", ["42"]),
    (r"} stray \boxed{42} }", ["42"]),
    (r"\boxed{\boxed{42}}", ["42", r"\boxed{42}"]),
    (r"\boxed{x = \boxed{42}} then \boxed{7}", ["42", r"x = \boxed{42}", "7"]),
    (r"\boxed 42", ["42"]),
    (r"\boxed 42.", ["42."]),
    (r"$\boxed 42$", ["42"]),
    (r"\(\boxed 42\)", ["42"]),
    (r"(\boxed 42)", ["42"]),
    (r"\boxed -7 is", ["-7"]),
    (r"\boxed 1,234 is", ["1,234"]),
    (r"\boxed 1e3 is", ["1e3"]),
    (r"\boxed\frac{1}{2} is", [r"\frac{1}{2}"]),
    (r"\boxed \pi$", [r"\pi"]),
    (r"\boxed 42\%", []),
    (r"in \boxed and then", []),
    (r"in \boxed.", []),
    ("in \\boxed\n\n1. First", []),
    (r"\boxedtext{42}", []),
    (r"\unboxed{42}", []),
    (r"boxed{42}", []),
    (r"\boxed\boxed{42}", ["42"]),
]


@pytest.mark.parametrize(("text", "contents"), CASES)
def test_closed_boxes_in_the_order_of_their_ends(text: str, contents: list[str]) -> None:
    boxes = boxed(text)
    assert [box.content for box in boxes] == contents
    assert all(box.closed for box in boxes)


CUT: list[tuple[str, list[tuple[str, bool]]]] = [
    (r"so \boxed{42", [("42", False)]),
    (r"so \boxed{", [("", False)]),
    (r"so \boxed{\frac{1}{2", [(r"\frac{1}{2", False)]),
    ("so \\boxed{42 \n\nWait, no.", [("42 ", False)]),
    ("so \\boxed{42 \n  \nWait, no.", [("42 ", False)]),
    (r"\boxed{5 wait \boxed{7}", [("7", True), ("5 wait ", False)]),
    (r"\boxed{5 wait \boxed{7", [("5 wait ", False), ("7", False)]),
    (r"\boxed{5 wait \boxed 7 on", [("7", True), ("5 wait ", False)]),
    (r"\boxed{4{2}", [("4{2}", False)]),
    (r"\boxed{1} \boxed{2", [("1", True), ("2", False)]),
    (r"\boxed{1\}", [(r"1\}", False)]),
]


@pytest.mark.parametrize(("text", "expected"), CUT)
def test_a_cut_box_is_marked_and_ends_where_it_can(
    text: str, expected: list[tuple[str, bool]]
) -> None:
    assert [(box.content, box.closed) for box in boxed(text)] == expected


@pytest.mark.parametrize("text", [r"so \boxed{a{b}c}!", r"so \fbox {42", r"so \boxed 42, then"])
def test_offsets_are_those_of_the_whole_box(text: str) -> None:
    [box] = boxed(text)
    assert text[: box.start] == "so "
    assert text[box.start : box.end].startswith("\\")
    assert text[box.start : box.end].removesuffix("}").endswith(box.content)


def test_of_deeply_nested_boxes_the_innermost_are_reported() -> None:
    depth = MAX_NESTED + 5
    boxes = boxed(r"\boxed{" * depth + "42" + "}" * depth)
    assert len(boxes) == MAX_NESTED
    assert boxes[0].content == "42"


#: Pieces that a box parser could trip on.
PIECES = st.sampled_from(
    [
        "\\boxed{",
        "\\fbox{",
        "\\boxed",
        "{",
        "}",
        "\\{",
        "\\}",
        "\\",
        "\n\n",
        " ",
        "4",
        "x",
        "$",
        "é",
    ]
)


@given(st.lists(PIECES, max_size=40).map("".join))
def test_any_text_gives_boxes_that_lie_in_it(text: str) -> None:
    for box in boxed(text):
        assert 0 <= box.start < box.end <= len(text)
        assert box.content in text[box.start : box.end]
        assert text[box.start] == "\\"


@given(st.lists(PIECES, max_size=20).map("".join), st.text("0123456789", min_size=1, max_size=5))
def test_a_last_box_is_found_after_any_text_without_a_loose_backslash(
    before: str, digits: str
) -> None:
    boxes = boxed(f"{before} \n\n \\boxed{{{digits}}}")
    assert digits in [box.content for box in boxes if box.closed]
