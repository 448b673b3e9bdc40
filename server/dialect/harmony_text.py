"""What gpt-oss's system and developer messages say, in the words that it was trained with.

Source: OpenAI's "harmony response format" and the `openai-harmony` package, with which the tests
compare where its vocabulary can be had.
"""

from server.dialect.base import DialectOptions
from server.dialect.harmony_header import CHANNELS

IDENTITY = "You are ChatGPT, a large language model trained by OpenAI."
#: gpt-oss's own, as its template states it.
KNOWLEDGE_CUTOFF = "2024-06"


def system_text(options: DialectOptions, tool: str) -> str:
    """Return the content of the system message; `tool` describes the Python tool (none: empty)."""
    facts = [IDENTITY, f"Knowledge cutoff: {KNOWLEDGE_CUTOFF}"]
    if options.today:
        facts.append(f"Current date: {options.today}")
    parts = ["\n".join(facts), f"Reasoning: {options.effort.value}"]
    if tool:
        parts.append(f"# Tools\n\n## python\n\n{tool}")
    channels = ", ".join(CHANNELS)
    parts.append(f"# Valid channels: {channels}. Channel must be included for every message.")
    return "\n\n".join(parts)


def developer_text(instructions: str) -> str:
    """Return the content of the developer message."""
    return f"# Instructions\n\n{instructions}"
