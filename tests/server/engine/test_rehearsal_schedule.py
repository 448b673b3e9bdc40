"""Machines and schedules of faults as they are written."""

from pathlib import Path

import pytest

from server.engine.errors import EngineFailed
from server.engine.rehearsal.faults import Fault, FaultKind, Schedule, parse_faults
from server.engine.rehearsal.machine import machine_names, read_machine
from server.engine.rehearsal.scheduler import PAGE_TOKENS, PrefixCache
from server.errors import SettingsError
from server.settings import load_settings


def test_a_schedule_is_read_in_order_of_time() -> None:
    assert parse_faults("slow@1200+60x5; die@600;; load-slow@1+30") == [
        Fault(FaultKind.LOAD_SLOW, 1, 30),
        Fault(FaultKind.DIE, 600),
        Fault(FaultKind.SLOW, 1200, 60, 5),
    ]
    assert parse_faults("none") == parse_faults("") == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("die", "must be KIND@SECONDS"),
        ("explode@3", "must be KIND@SECONDS"),
        ("die@-1", "must be KIND@SECONDS"),
        ("die@3+4", "die has no +SECONDS"),
        ("stall@3", "stall needs +SECONDS"),
        ("slow@3+4", "slow needs xFACTOR"),
        ("stall@3+4x2", "stall has no xFACTOR"),
    ],
)
def test_a_malformed_schedule_is_refused_by_the_settings(text: str, why: str) -> None:
    with pytest.raises(SettingsError, match=r"rehearsal\.faults") as caught:
        load_settings({"rehearsal.faults": text})
    assert why in str(caught.value)


def test_faults_happen_once_and_only_in_the_life_that_they_fall_in() -> None:
    faults = parse_faults("die@10; stall@20+5; load-die@2; cut@15")
    first, second = Schedule(faults, 1, 0.0), Schedule(faults, 2, 12.0)
    assert not first.due(FaultKind.DIE, 9.9)
    assert first.due(FaultKind.DIE, 10)
    assert not first.due(FaultKind.DIE, 11)
    assert not second.due(FaultKind.DIE, 13)
    assert second.due(FaultKind.CUT, 16)
    assert first.load(FaultKind.LOAD_DIE) is None
    assert second.load(FaultKind.LOAD_DIE) is not None
    assert [bool(second.lasting(FaultKind.STALL, now)) for now in (19, 20, 24.9, 25)] == [
        False, True, True, False,
    ]  # fmt: skip


def test_the_h100_has_the_rates_that_were_recorded() -> None:
    machine = read_machine("h100-gpt-oss-120b")
    assert 608 <= 8 / machine.step(8) <= 667
    assert 1 / machine.step(8) >= 80 and 1 / machine.step(1) <= 110  # noqa: PT018 - a range
    assert 120 <= machine.load_s <= 130


@pytest.mark.parametrize("name", machine_names())
def test_a_grain_keeps_the_time_that_attempts_take(name: str) -> None:
    machine = read_machine(name)
    coarse = machine.grained(10)
    for streams in (1, 8):
        taken = machine.habits.tokens_median * machine.step(streams)
        assert coarse.habits.tokens_median * coarse.step(streams) == pytest.approx(taken)


MACHINE = """
load_s = 1
step_s = 0.01
step_s_per_stream = 0
prefill_tokens_s = 100
kv_tokens = 1000
most_running = 4
[habits]
tokens_median = 10
tokens_sigma = 0.5
tokens_most = 100
calls_median = 1
"""


def test_a_machine_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MACHINE)
    assert read_machine(str(path)).habits.tokens_most == 100


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("step_s = 0.01", "step_s = 0"), "step_s 0 must be a number from 1e-06"),
        (("step_s = 0.01", "step_s = nan"), "step_s nan must be"),
        (("step_s = 0.01", ""), "step_s is missing"),
        (("load_s = 1", "load_s = true"), "load_s True must be"),
        (("kv_tokens", "kv_tokenz"), "kv_tokens is missing"),
        (("load_s = 1", "load_s = 1\nextra = 2"), "extra is none of"),
        (("[habits]", "[habit]"), "has no table"),
        (("[habits]", "[habits"), "not a TOML file"),
    ],
)
def test_a_malformed_machine_says_what_is_wrong(
    tmp_path: Path, change: tuple[str, str], why: str
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MACHINE.replace(*change))
    with pytest.raises(EngineFailed) as caught:
        read_machine(str(path))
    assert why in str(caught.value)


def test_an_unknown_machine_names_those_that_there_are() -> None:
    with pytest.raises(EngineFailed, match="instant"):
        read_machine("no-such-machine")


def test_the_prefix_cache_knows_whole_pages_and_forgets_the_oldest() -> None:
    cache = PrefixCache(4 * PAGE_TOKENS)
    ids = list(range(3 * PAGE_TOKENS + 5))
    assert cache.hold(ids) == 0
    assert cache.hold([*ids, 1, 2]) == 3 * PAGE_TOKENS
    assert cache.hold([*ids[:100], 7, *ids[101:]]) == PAGE_TOKENS
    cache.hold([9] * 4 * PAGE_TOKENS)
    assert cache.hold(ids) == 0
