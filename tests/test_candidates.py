import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ggm.bundle import Bundle
from ggm.candidates import NEAREST, measure_candidates, named_hashtags
from ggm.errors import BundleError
from ggm.features.extract import FeatureExtractor
from ggm.generator.decoding import score_hashtags
from ggm.media.decode import decode_video
from ggm.records import GeneratedHashtag, VideoFeatures
from ggm.retriever.pool import HashtagPool
from systems import random_bundle


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return random_bundle("tiny")


@pytest.fixture(scope="module")
def features(bundle: Bundle, clips: list[Path]) -> list[VideoFeatures]:
    rate = bundle.extractor.sound_rate_hz
    return bundle.extractor.extract_batch([decode_video(clip, sound_rate_hz=rate) for clip in clips[:2]])


def test_each_side_measures_what_the_other_proposed(bundle: Bundle, features: list[VideoFeatures]) -> None:
    guidance = bundle.guide(features)
    known = guidance[0].texts[0]
    generated = [
        [GeneratedHashtag("northernlights", 0.5, True), GeneratedHashtag(known.upper(), 0.4, True)],
        [],
    ]
    batch = bundle.batch(features, ["first snow", ""], guidance)
    first, second = measure_candidates(bundle, features, batch, generated=generated, guidance=guidance)
    assert [item.text for item in first] == ["northernlights", known.upper(), *guidance[0].texts[1:]]
    assert [item.text for item in second] == list(guidance[1].texts)
    # The retriever's side: cosines, also of a hashtag that stands in no pool.
    cosine = float(bundle.embed_videos(features)[0] @ bundle.embed_hashtags(["northernlights"])[0])
    assert first[0].similarity == pytest.approx(cosine, abs=1e-6)
    assert first[1].similarity == guidance[0].hits[0].similarity
    assert [item.similarity for item in second] == [hit.similarity for hit in guidance[1].hits]
    # The generator's side: as if each post stood alone.
    for row, item in enumerate((first, second)):
        alone = bundle.batch([features[row]], [("first snow", "")[row]], [guidance[row]])
        assert bundle.generator is not None
        (values,) = score_hashtags(bundle.generator, alone, [[candidate.text for candidate in item]])
        np.testing.assert_allclose([candidate.log_likelihood for candidate in item], values, atol=1e-3)


def test_what_the_pool_has_is_not_embedded_again(
    bundle: Bundle, features: list[VideoFeatures], monkeypatch: pytest.MonkeyPatch
) -> None:
    guidance = bundle.guide(features)
    descriptions = ["first snow", "a cat"]
    batch = bundle.batch(features, descriptions, guidance)
    generated = [[GeneratedHashtag("northernlights", 0.5, True), GeneratedHashtag("cat", 0.4, True)], []]
    measure = {"generated": generated, "guidance": guidance, "descriptions": descriptions}
    asked: list[str] = []
    embed = FeatureExtractor.embed_hashtags

    def counted(self: FeatureExtractor, hashtags: Sequence[str]) -> np.ndarray:
        asked.extend(hashtags)
        return embed(self, hashtags)

    monkeypatch.setattr(FeatureExtractor, "embed_hashtags", counted)
    found = measure_candidates(bundle, features, batch, **measure)
    assert asked == ["northernlights"]
    monkeypatch.setattr(HashtagPool, "vectors_of", lambda self, hashtags: [None] * len(hashtags))
    expected = measure_candidates(bundle, features, batch, **measure)
    for mine, theirs in zip(found, expected, strict=True):
        assert [item.text for item in mine] == [item.text for item in theirs]
        for one, other in zip(mine, theirs, strict=True):
            assert one.similarity == pytest.approx(other.similarity, abs=1e-3)  # the pool keeps float16
            assert one.description_similarity == pytest.approx(other.description_similarity, abs=1e-3)


def test_a_bundle_without_generator_measures_nothing(bundle: Bundle, features: list[VideoFeatures]) -> None:
    guidance = bundle.guide(features)
    batch = bundle.batch(features, ["", ""], guidance)
    with pytest.raises(BundleError, match="holds no generator"):
        measure_candidates(
            replace(bundle, generator=None), features, batch, generated=[[], []], guidance=guidance
        )


def test_the_generator_is_not_asked_about_what_it_never_learned(
    bundle: Bundle, features: list[VideoFeatures]
) -> None:
    pool = bundle.rebuilt_pool(["latecomer", "cat", "snow"])
    changed = replace(bundle, pool=pool)
    guidance = changed.guide(features[:1])
    batch = changed.batch(features[:1], [""], guidance)
    (found,) = measure_candidates(changed, features[:1], batch, generated=[[]], guidance=guidance)
    likelihood = {item.text: item.log_likelihood for item in found}
    assert likelihood.pop("latecomer") == -math.inf
    assert all(math.isfinite(value) for value in likelihood.values())
    written = [[GeneratedHashtag("LateComer", 0.5, True)]]
    (found,) = measure_candidates(changed, features[:1], batch, generated=written, guidance=guidance)
    assert math.isfinite(found[0].log_likelihood)  # what it wrote itself it can judge


def test_a_description_names_pool_hashtags(bundle: Bundle) -> None:
    pool = bundle.rebuilt_pool(["snow", "firstsnow", "trees", "Köln", "an", "猫", "iceCream"])
    bundle = replace(bundle, pool=pool)
    assert named_hashtags("First SNOW on a tree!", bundle) == ["firstsnow", "snow", "trees"]
    assert named_hashtags("an evening in köln: 猫, ice cream", bundle) == ["icecream", "köln", "猫"]
    assert named_hashtags("", bundle) == []


def test_a_description_proposes_and_measures(bundle: Bundle, features: list[VideoFeatures]) -> None:
    guidance = bundle.guide(features, top_k=2)
    own = replace(bundle, pool=bundle.rebuilt_pool([*bundle.pool, "firstsnow"]))
    descriptions = ["first snow", " "]
    batch = own.batch(features, descriptions, guidance)
    generated = [[GeneratedHashtag("northernlights", 0.5, in_best_beam=True)], []]
    first, second = measure_candidates(
        own, features, batch, generated=generated, guidance=guidance, descriptions=descriptions
    )
    (query,) = own.embed_descriptions(["first snow"])
    by_text = {item.text: item for item in first}
    assert [item.text for item in first[:4]] == ["northernlights", *guidance[0].texts, "firstsnow"]
    assert {hit.text for hit in own.pool.search(query, NEAREST)} <= by_text.keys()
    for item in first:
        cosine = float(own.embed_hashtags([item.text])[0] @ query)
        assert item.description_similarity == pytest.approx(cosine, abs=1e-3)
        assert item.similarity == pytest.approx(
            float(own.embed_videos(features)[0] @ own.embed_hashtags([item.text])[0]), abs=1e-3
        )
        assert item.uses == own.vocabulary.count(item.text)
    assert [item.named for item in first[:4]] == [False, False, False, True]
    assert [item.place for item in first[:4]] == [None, 0, 1, None]
    assert first[0].written
    assert first[0].in_best_beam
    # Without a description there is nothing more than before.
    assert [item.text for item in second] == list(guidance[1].texts)
    assert {item.description_similarity for item in second} == {0.0}


def test_candidates_are_compared_with_what_the_pool_was_asked(features: list[VideoFeatures]) -> None:
    """Where guidance is looked for with the description too, guidance and the others are on one scale."""
    own = random_bundle("tiny")
    assert own.generator is not None
    own.generator.config = replace(own.generator.config, description_weight=0.5)
    descriptions = ["first snow", ""]
    guidance = own.guide(features, descriptions, top_k=2)
    batch = own.batch(features, descriptions, guidance)
    generated = [[GeneratedHashtag("northernlights", 0.5, in_best_beam=True)]] * 2
    measured = measure_candidates(
        own, features, batch, generated=generated, guidance=guidance, descriptions=descriptions
    )
    asked = own.ask(features, descriptions)
    for row, candidates in enumerate(measured):
        assert {*guidance[row].texts, "northernlights"} <= {item.text for item in candidates}
        for item in candidates:
            cosine = float(asked[row] @ own.embed_hashtags([item.text])[0])
            assert item.similarity == pytest.approx(cosine, abs=1e-3)  # the pool's vectors are in float16
    assert not np.allclose(asked[0], own.embed_videos(features)[0])
    assert np.array_equal(asked[1], own.embed_videos(features)[1])
