"""What an ended attempt leaves for those who compare and check solutions."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Solution:
    """The final text of an attempt, its last program that ran without an error, and its output.

    Texts are empty where there is none. The program may use what earlier ones of the attempt left.
    """

    text: str
    program: str = ""
    output: str = ""
