"""Multiple choice: what there is to choose from, and the letter of the right one."""

import re
from collections.abc import Iterable, Mapping, Sequence

from server.evaluation.cells import cell, text_of
from server.evaluation.rows import Row
from voting.typed import narrow

LETTERS = "ABCDEFGHIJ"
#: The columns that hold all choices, and those that hold one each.
COLUMNS = ("choices", "options")
SINGLE = ("{}", "option {}", "choice {}", "answer {}")
ASKED = "Answer with the letter of the right choice."
_FONTS = re.compile(r"\\(?:text|textbf|mathrm|mathbf|boxed|textrm|mathsf)\s*\{([^{}]*)\}")
_LEAD = re.compile(
    r"(?:the\s+)?(?:right\s+|correct\s+)?(?:answer|choice|option)(?:\s+is)?\s*:?\s+"
    r"|(?:\u6545?\u9009\u62e9?|\u7b54\u6848[\u662f\u4e3a]?)\s*:?\s*"
)
_LETTER = re.compile(
    r"[(\[{]?\s*([A-J])\s*(?!\.[A-Z]\.)(?:[)\]}.:](?!\s*[(\[]?[A-J][)\]])|$)", re.IGNORECASE
)
#: A letter in brackets that no name stands before, or one that a list goes on with.
_FURTHER = re.compile(
    r"(?<![A-Za-z])[(\[]\s*([A-J])\s*[)\]]"
    r"|(?:[,;&]|\b(?:and|or|not)\b)\s*(?-i:([A-J])(?=\s*(?:[)\].:]|$))|([a-j])(?=\s*\)))",
    re.IGNORECASE,
)


def choice_letter(written: str) -> str | None:
    r"""Return the letter of ``(B)``, ``B.``, ``\text{(B)}`` or ``B) 12``.

    None where it is none, or where there are several: ``(A), (C)``.
    """
    text = narrow(written).replace("$", " ").replace("*", " ").replace("\\ ", " ").replace("~", " ")
    for _ in range(3):
        text = _FONTS.sub(r" \1 ", text)
    text = text.strip()
    lead = _LEAD.match(text.lower())
    text = text[lead.end() :] if lead else text
    found = _LETTER.match(text)
    if found is None:
        return None
    letter = found[1].upper()
    further = {"".join(groups).upper() for groups in _FURTHER.findall(text)}
    return None if further - {letter} else letter


def choices_of(row: Row) -> dict[str, str]:
    """Return a row's choices by letter, none where it has no such column.

    They may be a list, an object by letter, an object of two lists (labels and texts), or columns
    of one each.
    """
    for name in COLUMNS:
        found = _listed(cell(row, name))
        if found:
            return found
    found = {}
    for letter in LETTERS:
        told = next((t for form in SINGLE if (t := text_of(cell(row, form.format(letter))))), None)
        if told is None:
            break
        found[letter] = told
    return found if len(found) > 1 else {}


def _listed(value: object) -> dict[str, str]:
    if isinstance(value, Mapping):
        texts, labels = value.get("text"), value.get("label")
        if isinstance(texts, Sequence) and isinstance(labels, Sequence):
            keys = _letters(labels)
            if keys:
                told = [text_of(text) or "" for text in texts]
                return dict(zip(keys, told, strict=False))
            value = texts
        else:
            keys = _letters(value)
            if not keys:
                return {}
            texts = [text_of(each) or "" for each in value.values()]
            return dict(zip(keys, texts, strict=True))
    if not isinstance(value, list | tuple):
        return {}
    texts = [text_of(each) or "" for each in value]
    return dict(zip(LETTERS, map(_unlabelled, LETTERS, texts), strict=False))


def _letters(labels: Iterable[object]) -> list[str]:
    """Return labels in capitals; none unless each is a letter of a choice."""
    keys = [str(label).strip().upper() for label in labels]
    return keys if all(len(key) == 1 and key in LETTERS for key in keys) else []


def labels_of(row: Row) -> dict[str, str]:
    """Return the letter that a row's choices have by each label of their own that is no letter."""
    for name in COLUMNS:
        value = cell(row, name)
        labels = value.get("label") if isinstance(value, Mapping) else None
        if isinstance(labels, Sequence) and not _letters(labels):
            return dict(zip((str(label).strip() for label in labels), LETTERS, strict=False))
    return {}


def _unlabelled(letter: str, text: str) -> str:
    """Return a choice without the letter that it may begin with: `A) 12`."""
    return re.sub(rf"^\(?{letter}[).:]\s*", "", text.strip(), flags=re.IGNORECASE)


def with_choices(statement: str, choices: Mapping[str, str]) -> str:
    """Return a statement that tells the choices and asks for a letter."""
    listed = "\n".join(f"({letter}) {text}" for letter, text in choices.items())
    return f"{statement.rstrip()}\n\n{listed}\n\n{ASKED}"


def right_letter(
    answer: object, choices: Mapping[str, str], labels: Mapping[str, str]
) -> str | None:
    """Return the letter of a right answer: a label, a letter, a place from 0, or a choice's text.

    A number is a place, as most datasets have it, where it comes as one.
    """
    text = text_of(answer)
    if text is None:
        return None
    if text.strip() in labels:
        return labels[text.strip()]
    named = choice_letter(text)
    if named is not None and (not choices or named in choices):
        return named
    same = [letter for letter, choice in choices.items() if choice.strip() == text.strip()]
    place = int(text) if text.isascii() and text.isdigit() and len(text) < 3 else -1
    if 0 <= place < len(choices) and (isinstance(answer, int | float) or not same):
        return list(choices)[place]
    return same[0] if len(same) == 1 else None
