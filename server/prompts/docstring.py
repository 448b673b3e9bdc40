"""A problem as the docstring that a program begins with.

The form is that of the examples for GSM8K in PAL (program-aided language models, Gao et al. 2022):
a function `solution` whose docstring is the question. Here the model's message begins with it.
"""

#: Longer ones would fill a small model's context: the problem stands in the conversation already.
MOST_CHARACTERS = 4_000


def docstring(problem: str) -> str:
    """Return the line, or lines, of a docstring in a function's body; empty for a long problem."""
    lines = [line.strip() for line in problem.splitlines() if line.strip()]
    text = "\n    ".join(lines).replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    # A fence would end the program, and a quote at the end be one too many.
    text = text.replace("```", "'''") + (" " if text.endswith('"') else "")
    return f'    """{text}"""\n' if len(text) <= MOST_CHARACTERS else ""
