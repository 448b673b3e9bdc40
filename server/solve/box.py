r"""Where a `\boxed{` that was opened for the model is closed."""

import re

#: A brace of TeX, or an escaped character that is none.
BRACE = re.compile(r"\\.|[{}]", re.DOTALL)


def closes(text: str) -> bool:
    """Tell whether the text closes the box that was opened right before it."""
    depth = 1
    for brace in BRACE.findall(text):
        depth += {"{": 1, "}": -1}.get(brace, 0)
        if depth == 0:
            return True
    return False
