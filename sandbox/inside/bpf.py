"""A small assembler for seccomp filters: rules on system calls become a BPF program.

A filter is a list of rules. The first rule of a call whose tests all hold decides; a call that no
rule decides is allowed. See seccomp(2) and <linux/seccomp.h>.
"""

import errno
import platform
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from sandbox.inside.system import NUMBERS

# Opcodes from <linux/bpf_common.h>: load a word, keep some of its bits, jump if equal, greater or
# equal, or any bit is set, and return.
_LOAD, _AND, _JUMP_EQUAL, _JUMP_LEAST, _JUMP_BITS, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06

# Offsets in struct seccomp_data; both architectures are little-endian.
_CALL_OFFSET, _ARCHITECTURE_OFFSET, _ARGUMENTS_OFFSET = 0, 4, 16

# What a filter returns.
_ALLOW = 0x7FFF0000
_KILL_PROCESS = 0x80000000
_ERROR = 0x00050000

#: AUDIT_ARCH_X86_64 and AUDIT_ARCH_AARCH64 from <linux/audit.h>.
_ARCHITECTURES = {
    "x86_64": 0xC000003E,
    "amd64": 0xC000003E,
    "aarch64": 0xC00000B7,
    "arm64": 0xC00000B7,
}

#: Calls of the x32 ABI carry this bit (__X32_SYSCALL_BIT), under the architecture of x86-64.
_X32_BIT = 0x40000000

_INSTRUCTION = struct.Struct("=HBBI")

_Instruction = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Equals:
    """The low 32 bits of an argument are this value."""

    argument: int
    value: int

    def assemble(self, to_end: int) -> list[_Instruction]:
        """Go on when true, else skip `to_end` instructions after this test."""
        return [_load_low(self.argument), (_JUMP_EQUAL, 0, to_end, self.value)]


@dataclass(frozen=True, slots=True)
class Differs:
    """The low 32 bits of an argument, or those of them that `bits` has, are not this value."""

    argument: int
    value: int
    bits: int = 0xFFFFFFFF

    def assemble(self, to_end: int) -> list[_Instruction]:
        """See Equals."""
        kept = (_AND, 0, 0, self.bits)
        return [_load_low(self.argument), kept, (_JUMP_EQUAL, to_end, 0, self.value)]


@dataclass(frozen=True, slots=True)
class HasAny:
    """The low 32 bits of an argument have one of these bits."""

    argument: int
    bits: int

    def assemble(self, to_end: int) -> list[_Instruction]:
        """See Equals."""
        return [_load_low(self.argument), (_JUMP_BITS, 0, to_end, self.bits)]


@dataclass(frozen=True, slots=True)
class NotNull:
    """An argument that is a pointer is not null."""

    argument: int

    def assemble(self, to_end: int) -> list[_Instruction]:
        """See Equals."""
        low, high = _load_low(self.argument), _load_high(self.argument)
        return [low, (_JUMP_EQUAL, 0, 2, 0), high, (_JUMP_EQUAL, to_end, 0, 0)]


Test = Equals | Differs | HasAny | NotNull


@dataclass(frozen=True, slots=True)
class Rule:
    """Fail this call with this error where all tests hold; each test looks at one argument."""

    call: str
    tests: tuple[Test, ...] = ()
    error: int = errno.EPERM


def assemble(rules: Iterable[Rule]) -> bytes:
    """The program of a filter. Calls that this architecture lacks are left out.

    Raises:
        OSError: the architecture is not known.
    """
    if platform.machine() not in _ARCHITECTURES:
        raise OSError(errno.ENOSYS, f"seccomp filter: unknown machine {platform.machine()}")
    program = _prologue(_ARCHITECTURES[platform.machine()])
    known = (rule for rule in rules if rule.call in NUMBERS)
    for name, of_call in groupby(sorted(known, key=attrgetter("call")), attrgetter("call")):
        block = [instruction for rule in of_call for instruction in _assembled(rule)]
        block.append((_RETURN, 0, 0, _ALLOW))
        program += [(_JUMP_EQUAL, 0, len(block), NUMBERS[name]), *block]
    program.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in program)


def _prologue(architecture: int) -> list[_Instruction]:
    """Kill on calls of another architecture, fail those of x32, and load the call's number."""
    return [
        (_LOAD, 0, 0, _ARCHITECTURE_OFFSET),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _CALL_OFFSET),
        # On aarch64 no call has a number as high.
        (_JUMP_LEAST, 0, 1, _X32_BIT),
        (_RETURN, 0, 0, _ERROR | errno.ENOSYS),
    ]


def _assembled(rule: Rule) -> list[_Instruction]:
    instructions: list[_Instruction] = [(_RETURN, 0, 0, _ERROR | rule.error)]
    for test in reversed(rule.tests):
        instructions = test.assemble(len(instructions)) + instructions
    return instructions


def _load_low(argument: int) -> _Instruction:
    return (_LOAD, 0, 0, _ARGUMENTS_OFFSET + 8 * argument)


def _load_high(argument: int) -> _Instruction:
    return (_LOAD, 0, 0, _ARGUMENTS_OFFSET + 8 * argument + 4)
