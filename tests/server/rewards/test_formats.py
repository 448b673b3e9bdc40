"""Process reward models: the published layouts, and scores read back."""

from collections.abc import Sequence

import pytest

from server.solve.rewards import MAX_STEPS, QwenRewardModel, ShepherdRewardModel, steps_of
from server.vocabulary import Vocabulary
from tests.server.solve.rehearsal import Stage


class Classifier:
    """Gives each place the share of the ids before it, and remembers what it was asked."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.places: list[int] = []

    async def reward(self, ids: Sequence[int], places: Sequence[int]) -> list[Sequence[float]]:
        self.ids, self.places = list(ids), list(places)
        return [(1 - place / len(ids), place / len(ids)) for place in places]


class MarkedVocabulary:
    """A tiny vocabulary with a control token for the mark of steps."""

    def __init__(self, real: Vocabulary) -> None:
        self._real = real
        self.encode = real.encode

    def control(self, name: str) -> int:
        return self._real.size if name == "<extra_0>" else self._real.control(name)


async def test_qwen_gets_a_mark_after_each_step(stage: Stage) -> None:
    engine = Classifier()
    vocabulary = MarkedVocabulary(stage.vocabulary)
    model = QwenRewardModel(engine, vocabulary)  # type: ignore[arg-type]
    scores = (await model.score("6 times 7?", "6 * 7 = 42.\n\nSo \\boxed{42}.")).scores
    mark = stage.vocabulary.size
    assert [engine.ids[place] for place in engine.places] == [mark, mark]
    assert engine.ids.count(mark) == 2
    text = stage.vocabulary.decode([each for each in engine.ids if each != mark])
    assert "<|im_start|>user\n6 times 7?<|im_end|>\n" in text
    assert "<|im_start|>assistant\n6 * 7 = 42.So \\boxed{42}.<|im_end|>\n" in text
    assert 0 < scores[0] < scores[1] < 1


async def test_shepherd_compares_plus_and_minus_after_each_tag(stage: Stage) -> None:
    vocabulary = stage.vocabulary
    plus = vocabulary.encode("+")
    asked: list[str] = []

    class Scoring:
        async def score(self, ids: Sequence[int], start: int) -> list[float]:
            asked.append(vocabulary.decode(list(ids[:start])))
            return [-0.1 if list(ids[start:]) == plus else -2.1]

    scores = (await ShepherdRewardModel(Scoring(), vocabulary).score("Q?", "one\n\ntwo")).scores
    assert scores == pytest.approx((0.880797, 0.880797), rel=1e-5)
    assert asked[0] == "Q? Step 1: one ки"
    assert asked[-1] == "Q? Step 1: one ки\nStep 2: two ки"


def test_steps_are_paragraphs_and_bounded() -> None:
    assert steps_of("") == steps_of(" \n\n ") == []
    assert steps_of("a\nb\n\n\nc") == ["a\nb", "c"]
    many = steps_of("\n\n".join(map(str, range(MAX_STEPS + 9))))
    assert len(many) == MAX_STEPS
    assert many[-1].endswith(str(MAX_STEPS + 8))


async def test_an_empty_solution_has_no_steps_to_score(stage: Stage) -> None:
    engine = Classifier()
    model = QwenRewardModel(engine, MarkedVocabulary(stage.vocabulary))  # type: ignore[arg-type]
    assert (await model.score("Q?", "")).scores == ()
    assert engine.ids == []
