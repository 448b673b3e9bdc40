"""The run's clock over restarts, boots and steps of the wall clock."""

from dataclasses import dataclass

from server.runs.clock import Anchor, RunClock, SystemClocks


@dataclass
class Hands:
    """Clocks that stand as they are set."""

    name: str = "boot-1"
    since_boot: float = 1_000.0
    wall: float = 1_800_000_000.0

    def boot(self) -> str:
        return self.name

    def boot_s(self) -> float:
        return self.since_boot

    def wall_s(self) -> float:
        return self.wall

    def go_on(self, seconds: float) -> None:
        self.since_boot += seconds
        self.wall += seconds


def test_what_the_caller_says_is_gone_counts() -> None:
    hands = Hands()
    clock = RunClock.start(hands, elapsed_s=100)
    hands.go_on(20)
    assert clock.elapsed_s() == 120


def test_it_goes_on_while_no_server_lives() -> None:
    hands = Hands()
    anchor = RunClock.start(hands).anchor
    hands.go_on(50)
    assert RunClock(anchor, hands).elapsed_s() == 50


def test_a_step_of_the_wall_clock_moves_nothing() -> None:
    hands = Hands()
    clock = RunClock.start(hands)
    hands.go_on(10)
    for step in (-86_400, 86_400 * 2):
        hands.wall += step
        assert clock.elapsed_s() == 10
        assert RunClock(clock.anchor, hands).elapsed_s() == 10


def test_over_a_boot_the_wall_clock_counts_and_then_the_new_boot() -> None:
    hands = Hands()
    anchor = RunClock.start(hands, elapsed_s=5).anchor
    hands.go_on(10)
    hands.name, hands.since_boot = "boot-2", 3.0
    hands.wall += 60
    clock = RunClock(anchor, hands)
    assert clock.elapsed_s() == 75
    hands.wall -= 86_400
    hands.since_boot += 7
    assert clock.elapsed_s() == 82
    assert clock.anchor.boot == "boot-2"
    assert RunClock(clock.anchor, hands).elapsed_s() == 82


def test_no_clock_runs_backwards() -> None:
    hands = Hands()
    anchor = Anchor(5, "boot-0", 9_999.0, hands.wall + 3_600)
    assert RunClock(anchor, hands).elapsed_s() == 5
    clock = RunClock.start(hands)
    hands.since_boot -= 1
    assert clock.elapsed_s() == 0


def test_the_clocks_of_this_machine() -> None:
    clocks = SystemClocks()
    assert clocks.boot() == clocks.boot()
    assert 0 < clocks.boot_s() <= clocks.boot_s()
    assert clocks.wall_s() > 1_700_000_000
