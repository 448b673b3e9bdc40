"""Answers in words, as callers see them."""

from voting.answers import Answer


def answer_text(answer: Answer | None) -> str | None:
    """Return an answer as callers see it: integers in plain digits, other text as written."""
    if answer is None:
        return None
    return answer.written if answer.integer is None else answer.key
