r"""What a box that was never closed commits to: a cut text, or one that forgot the brace.

A model that is made to write its answer into a box may go on in prose: ``\boxed{42. So the sum``.
"""

import re

#: What ends an answer that no brace ends: the line, the formula, the sentence, or a word with which
#: an explanation begins, in Chinese too. An exclamation mark does not: after a number it is a
#: factorial.
_END = re.compile(
    r"""
    [\n\r\u2028\u2029]
  | (?<!\\)\$ | \\[)\]] | \*\*(?=\s|\Z)
  | (?<!\\)[.;?](?=\s|\Z)
  | [\u3002\uff1b\uff1f] | \uff0c(?=[\u4e00-\u9fff])
  | (?:\A|[,\s:(-]+)
    (?:because|since|so|as|which|where|therefore|thus|hence|but|wait|let|now|this|that|we)\b
  | ,\s+(?:and|the|if|for|with)\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
#: A plain word: not a command, and not the single letter of a variable.
_WORD = re.compile(r"(?<![A-Za-z\\])[A-Za-z]{2,}")
_GROUP_OF_TEXT = re.compile(r"\\(?:text|mathrm|textbf|mathbf|textit|operatorname)\s*\{[^{}]*\}")

#: Of 242 answers of MATH-500 the longest has 53 characters; this leaves room for four times that.
MAX_CHARACTERS = 200
#: Plain words in an answer: "all real numbers", "square units". More of them are a sentence.
MAX_WORDS = 3


def committed(content: str) -> str:
    """Return the answer at the beginning of an unclosed box, empty where it is none.

    Takes time linear in `MAX_CHARACTERS`, whatever the length of the text.
    """
    head = content.lstrip()[: MAX_CHARACTERS + 1]
    # A dollar in front opens the formula that the next one ends.
    opening = len(head) - len(head.lstrip("$"))
    if end := _END.search(head, opening):
        # Stars that close what stars have opened belong to it.
        closing = end[0] == "**" and head.startswith("**")
        head = head[: end.end() if closing else end.start()]
    head = head.strip()
    if len(head) > MAX_CHARACTERS or len(_WORD.findall(_GROUP_OF_TEXT.sub("", head))) > MAX_WORDS:
        return ""
    return head
