"""How long a problem may take, as far as the session knows."""

import pytest

from kaggle_notebook.allowance import allowance


def test_the_others_keep_what_they_need() -> None:
    given = allowance(18_000, 18_000, expected=50, done=0)
    assert given.limit_s == 900
    assert given.most_s == 18_000 - 49 * 60
    assert not given.beyond


def test_the_last_may_have_all_up_to_the_cap() -> None:
    given = allowance(5_000, 18_000, expected=50, done=49)
    assert (given.limit_s, given.most_s) == (900, 5_000)


def test_past_the_expected_number_half_is_kept() -> None:
    given = allowance(100, 18_000, expected=50, done=50)
    assert given.beyond
    assert given.most_s == 50


@pytest.mark.parametrize("left_s", [18_000.0, 500.0, 10.0, 0.5, 0.0])
def test_the_whole_run_never_takes_longer_than_it_may(left_s: float) -> None:
    left, given = left_s, []
    for done in range(60):
        given.append(allowance(left, 18_000, expected=50, done=done))
        assert 0 <= given[-1].limit_s <= given[-1].most_s <= left
        left -= given[-1].most_s
    assert left >= 0
    if left_s:
        # even if each takes all that it may, each expected one has something
        assert all(each.most_s > 0 for each in given[:50])
