"""The bundle that is shipped, on a real photograph."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ggm.bundle import SHIPPED, load_bundle
from ggm.pool import LivingPool
from ggm.recommend import Recommender
from ggm.runtime.precision import with_precision

EXAMPLES = Path(__file__).parents[1] / "examples"
NEAR_CAT = {"cat", "kitten", "feline", "kitty", "pet"}


@pytest.fixture(scope="module")
def recommender() -> Recommender:
    return Recommender.from_pretrained("compact")


def test_it_sees_the_cat_and_the_coffee(recommender: Recommender) -> None:
    for description in ("", "She has been staring at me like this all morning"):
        cat = recommender.recommend(EXAMPLES / "cat.mp4", description)
        assert NEAR_CAT & {item.text for item in cat.hashtags}
    coffee = recommender.recommend(EXAMPLES / "coffee.mp4")
    assert "coffee" in {item.text for item in coffee.hashtags}


def test_it_is_small_and_shares_its_text_encoder(recommender: Recommender) -> None:
    size = sum(path.stat().st_size for path in (SHIPPED / "compact").iterdir())
    assert size < 40 * 1024**2
    bundle = recommender.bundle
    assert bundle.generator is not None
    assert bundle.generator.text_model.get_encoder() is bundle.extractor.hashtags.model
    assert bundle.card == (SHIPPED / "compact" / "README.md").read_text("utf-8")


def test_it_loads_to_the_same_answers_bit_for_bit(recommender: Recommender) -> None:
    with Recommender(with_precision(load_bundle("compact"), "fp32")) as again:
        first, second = (
            system.recommend(EXAMPLES / "rocket.mp4", "lift-off", top=20) for system in (recommender, again)
        )
    assert first.hashtags == second.hashtags
    assert first.guidance == second.guidance


def test_a_hashtag_that_enters_the_pool_is_recommended_without_training() -> None:
    bundle = load_bundle("compact")
    new = "tabbycat"
    assert new not in bundle.vocabulary
    bundle.pool.add([new], bundle.embed_hashtags([new]))
    with Recommender(bundle) as living:
        answer = living.recommend(EXAMPLES / "cat.mp4", top=10)
    assert new in answer.guidance.texts
    assert [item.source for item in answer.hashtags if item.text == new] == ["guidance"]


def test_a_hashtag_coined_now_is_recommended_within_a_second_by_a_running_service(tmp_path: Path) -> None:
    """By a process that reads a living pool which another writes; without any training."""
    coined = ("tabbycat", "fluffycat", "kittycat")
    bundle = load_bundle("compact")
    with (
        LivingPool.create(tmp_path / "pool", bundle.pool, embed=bundle.embed_hashtags) as pool,
        LivingPool.open(tmp_path / "pool", read_only=True) as followed,
        Recommender(bundle.with_pool(followed)) as service,
    ):
        before = service.recommend(EXAMPLES / "cat.mp4", top=10)
        features = service.features(service.decode(EXAMPLES / "cat.mp4"))
        seconds = []
        for new in coined:
            assert new not in before.guidance.texts
            started = time.perf_counter()
            pool.add([new])
            guidance = service.guide(features)
            seconds.append(time.perf_counter() - started)
            assert new in guidance.texts
        assert min(seconds) < 1, "from coining it to its guidance; shared machines pause now and then"
        after = service.recommend(EXAMPLES / "cat.mp4", top=10)
    assert "guidance" in [item.source for item in after.hashtags if item.text in coined]
