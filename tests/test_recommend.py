"""The whole way from a file to hashtags, with a system of random weights."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from ggm.bundle import Bundle, save_bundle
from ggm.descriptions import MAX_DESCRIPTION_CHARACTERS
from ggm.errors import (
    BundleError,
    ConfigError,
    MediaError,
    MediaFormatError,
    MediaNotFoundError,
    PoolError,
)
from ggm.generator.decoding import DecodingConfig, generate, score_hashtags
from ggm.hashtags import Vocabulary
from ggm.ranking import RankingConfig
from ggm.recommend import DecodedPost, Recommender
from ggm.records import GeneratedHashtag, Guidance, Recommendation
from ggm.scorer import MEASURES, Scorer, Weights
from systems import HASHTAGS, random_bundle
from videos import write_video


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return random_bundle("tiny")


@pytest.fixture(scope="module")
def recommender(bundle: Bundle) -> Iterator[Recommender]:
    with Recommender(bundle) as recommender:
        yield recommender


def content(answer: object) -> tuple[object, ...]:
    """All of an answer but the time it took."""
    assert isinstance(answer, Recommendation)
    return (answer.video, answer.description, answer.hashtags, answer.guidance, answer.notices)


def pid_of(recommender: Recommender) -> int:
    assert recommender.worker._process is not None
    return recommender.worker._process._popen.pid


def is_gone(pid: int) -> bool:
    """Whether no process has this id, not even a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


# What an answer looks like


def test_an_answer(recommender: Recommender, clips: list[Path]) -> None:
    answer = recommender.recommend(clips[0], "first snow", top=3)
    assert answer.video == str(clips[0])
    assert answer.description == "first snow"
    assert len(answer.hashtags) == 3
    assert len(answer.guidance) == recommender.generator.config.top_k == 4
    assert answer.notices == ()
    assert list(answer.seconds) == ["decode", "features", "retrieve", "generate", "total"]
    *stages, total = answer.seconds.values()
    assert all(seconds > 0 for seconds in stages)
    assert sum(stages) <= total


@pytest.mark.parametrize("weight", [0.0, 30.0])
def test_scores_fall_and_lie_within_0_and_1(bundle: Bundle, clips: list[Path], weight: float) -> None:
    config = RankingConfig(similarity_weight=weight, silent_similarity_weight=weight)
    with Recommender(replace(bundle, ranking=config)) as recommender:
        for clip in clips:
            for description in ("", "first snow"):
                hashtags = recommender.recommend(clip, description, top=50).hashtags
                scores = [item.score for item in hashtags]
                assert hashtags
                assert scores == sorted(scores, reverse=True)
                assert all(0 <= score <= 1 for score in scores)
                assert len({item.text.casefold() for item in hashtags}) == len(hashtags)


def test_top_is_a_cut_of_the_longer_list(recommender: Recommender, clips: list[Path]) -> None:
    longest = recommender.recommend(clips[0], top=50).hashtags
    assert len(longest) >= 4  # the guidance alone has as many
    for top in (1, 2, 3, len(longest)):
        assert recommender.recommend(clips[0], top=top).hashtags == longest[:top]
    assert recommender.recommend(clips[0]).hashtags == longest[:5]


@pytest.mark.parametrize("top", [0, -1])
def test_top_must_be_positive(recommender: Recommender, clips: list[Path], top: int) -> None:
    with pytest.raises(ValueError, match="top must be at least 1"):
        recommender.recommend(clips[0], top=top)
    with pytest.raises(ValueError, match="top must be at least 1"):
        recommender.recommend_many([], top=top)  # at once, not when first asked for an answer


def test_sources(bundle: Bundle, clips: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    vocabulary = Vocabulary({"Dog": 3, "ColdWeather": 2, "GoldenHour": 1})
    changed = replace(
        bundle, vocabulary=vocabulary, pool=bundle.rebuilt_pool([*HASHTAGS, "LateComer", "twilight", "dusk"])
    )
    with Recommender(changed) as recommender:
        guidance = recommender.recommend(clips[0]).guidance
        found = guidance.texts[1]
        missed = next(text for text in ("LateComer", "twilight", "dusk") if text not in guidance.texts)
        written = [found.upper(), "goldenhour", missed, "SomethingNew"]

        def write(*_arguments: object, **_options: object) -> list[list[GeneratedHashtag]]:
            return [[GeneratedHashtag(text, 0.9 - 0.1 * n, True) for n, text in enumerate(written)]]

        monkeypatch.setattr("ggm.recommend.generate", write)
        hashtags = {item.text: item for item in recommender.recommend(clips[0], top=20).hashtags}
    assert {text: hashtags[text].source for text in written} == {
        found.upper(): "guidance",  # case makes no difference
        "goldenhour": "vocabulary",  # known from training
        missed: "vocabulary",  # known to the pool, though not found for this video
        "SomethingNew": "novel",
    }
    assert hashtags["goldenhour"].display == "GoldenHour"
    # What was found but not written is there too, and nothing is said twice.
    rest = set(hashtags) - set(written)
    assert rest == {text for text in guidance.texts if text != found}
    assert {hashtags[text].source for text in rest} == {"guidance"}


def test_both_sides_have_their_say(bundle: Bundle, clips: list[Path]) -> None:
    """Similarity alone keeps the order of the guidance, likelihood alone that of the generator."""

    def ranked(weight: float) -> list[str]:
        config = RankingConfig(similarity_weight=weight, silent_similarity_weight=weight)
        with Recommender(replace(bundle, ranking=config)) as recommender:
            answer = recommender.recommend(clips[0], "first snow", top=50)
            texts = [item.text for item in answer.hashtags]
            in_guidance = [text for text in texts if text in answer.guidance.texts]
            if weight:
                assert in_guidance == list(answer.guidance.texts)
            else:
                batch = bundle.batch(
                    [recommender.features(recommender.decode(clips[0]))], ["first snow"], [answer.guidance]
                )
                (values,) = score_hashtags(recommender.generator, batch, [texts])
                assert values == sorted(values, reverse=True)
            return texts

    assert ranked(1e6) != ranked(0.0)


def test_an_answer_of_guidance_alone_is_possible(
    bundle: Bundle, clips: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Recommender(bundle) as recommender:
        monkeypatch.setattr("ggm.recommend.generate", lambda *_arguments, **_options: [[]])
        answer = recommender.recommend(clips[0], top=9)
    assert sorted(item.text for item in answer.hashtags) == sorted(answer.guidance.texts)


# Different ways to the same answer


def test_stages_one_by_one_give_the_same(recommender: Recommender, clips: list[Path]) -> None:
    for clip in clips:
        whole = recommender.recommend(clip, "first snow", top=8)
        features = recommender.features(recommender.decode(clip))
        guidance = recommender.guide(features)
        generated = recommender.generate(features, "first snow", guidance)
        ranked = recommender.rank(features, "first snow", guidance, generated)[:8]
        assert guidance == whole.guidance
        assert [(item.text, item.score) for item in ranked] == [
            (item.text, item.score) for item in whole.hashtags
        ]


def test_the_stages_take_settings(recommender: Recommender, clips: list[Path]) -> None:
    features = recommender.features(recommender.decode(clips[0]))
    few, many = recommender.guide(features, top_k=1), recommender.guide(features, top_k=8)
    assert few.hits == many.hits[:1]
    assert set(many.texts) == set(HASHTAGS)
    short = recommender.generate(features, "", many, decoding=DecodingConfig(num_beams=1, max_new_tokens=1))
    assert short != recommender.generate(features, "", many)


def test_a_batch_of_videos_equals_single_ones(recommender: Recommender, clips: list[Path]) -> None:
    posts = [(clip, f"winter number {number}") for number, clip in enumerate(clips)]
    together = [content(answer) for answer in recommender.recommend_many(posts, top=8)]
    alone = [content(recommender.recommend(clip, description, top=8)) for clip, description in posts]
    assert together == alone
    assert len({hashtags for _, _, hashtags, _, _ in alone}) == len(posts)  # they could have differed


def test_nothing_is_remembered(recommender: Recommender, clips: list[Path]) -> None:
    first = content(recommender.recommend(clips[0], "first snow"))
    recommender.recommend(clips[1], "a hot summer day")
    assert content(recommender.recommend(clips[0], "first snow")) == first


def test_no_sound_is_masked_sound(recommender: Recommender, clips: list[Path]) -> None:
    """Beside a video with sound, one without has padding in its place, which must not matter."""
    bundle = recommender.bundle
    assert bundle.extractor.sound_dim is not None
    loud, silent = (recommender.features(recommender.decode(clip)) for clip in clips[:2])
    assert loud.sound_tokens is not None
    assert silent.sound_tokens is None
    guidance = bundle.guide([loud, silent])
    both = bundle.batch([loud, silent], ["", "first snow"], guidance)
    assert both.sound_mask is not None
    assert both.sound_mask.any(dim=1).tolist() == [True, False]
    written = generate(recommender.generator, both, decoding=bundle.decoding, vocabulary=bundle.vocabulary)
    assert all(written)
    for index, (features, description) in enumerate([(loud, ""), (silent, "first snow")]):
        alone = recommender.generate(features, description, guidance[index])
        assert [item.text for item in written[index]] == [item.text for item in alone]
        assert [item.score for item in written[index]] == pytest.approx(
            [item.score for item in alone], abs=1e-5
        )

    # All of a sound masked is the same as none, whatever the masked numbers are.
    batch = bundle.batch([silent], ["first snow"], guidance[1:])
    assert batch.sound_tokens is None
    noise = 100 * torch.randn(1, 7, bundle.extractor.sound_dim)
    masked = replace(batch, sound_tokens=noise, sound_mask=torch.zeros(1, 7, dtype=torch.bool))
    heard = replace(masked, sound_mask=torch.ones(1, 7, dtype=torch.bool))
    encode = recommender.generator.encode
    torch.testing.assert_close(encode(masked).states, encode(batch).states)
    assert not torch.allclose(encode(heard).states, encode(batch).states)


def test_a_video_without_its_sound_is_a_silent_video(recommender: Recommender, tmp_path: Path) -> None:
    pictures = [np.full((48, 64, 3), 40 * index, np.uint8) for index in range(5)]
    loud = write_video(tmp_path / "loud.mp4", pictures=pictures)
    silent = write_video(tmp_path / "silent.mp4", pictures=pictures, sound=False)
    video = recommender.decode(loud)
    assert video.sound is not None
    muted, mute = (recommender.features(v) for v in (replace(video, sound=None), recommender.decode(silent)))
    guidance = recommender.guide(mute)
    assert recommender.guide(muted) == guidance
    assert recommender.generate(muted, "", guidance) == recommender.generate(mute, "", guidance)


# Descriptions


def test_hashtags_in_the_description_are_set_aside(recommender: Recommender, clips: list[Path]) -> None:
    answer = recommender.recommend(clips[0], "So cold! #winter #ColdWeather and #snow today")
    assert "#" not in answer.description
    assert not {"winter", "ColdWeather", "snow"} & set(answer.description.split())
    assert answer.description.startswith("So cold!")
    assert answer.notices == ("hashtags in the description were set aside: #winter #ColdWeather #snow",)
    assert answer.hashtags != recommender.recommend(clips[0], "").hashtags
    plain = recommender.recommend(clips[0], answer.description)
    assert plain.hashtags == answer.hashtags
    assert plain.notices == ()


def test_a_description_of_hashtags_alone_is_empty(recommender: Recommender, clips: list[Path]) -> None:
    answer = recommender.recommend(clips[0], "#winter #snow")
    assert answer.description == ""
    assert answer.hashtags == recommender.recommend(clips[0], "").hashtags


def test_an_overlong_description_is_cut(recommender: Recommender, clips: list[Path]) -> None:
    text = "snow " * 2000
    answer = recommender.recommend(clips[0], text)
    assert len(answer.description) <= MAX_DESCRIPTION_CHARACTERS
    assert text.startswith(answer.description)
    assert answer.notices == (
        "the description was cut from 10,000 to 5,000 characters",
        "the description is longer than the model reads; its end was left out",
    )


def test_it_is_said_when_the_model_reads_a_part_only(recommender: Recommender, clips: list[Path]) -> None:
    notice = "the description is longer than the model reads; its end was left out"
    long, cut = "snow " * 40, "snow " * 39 + "summer"
    answer = recommender.recommend(clips[0], long)
    assert answer.description == long.strip()
    assert answer.notices == (notice,)
    assert recommender.recommend(clips[0], cut).hashtags == answer.hashtags
    assert recommender.recommend(clips[0], "snow").notices == ()


def test_guidance_survives_a_long_description(recommender: Recommender, clips: list[Path]) -> None:
    features = recommender.features(recommender.decode(clips[0]))
    text = "snow " * 200
    one = recommender.bundle.batch([features], [text], [recommender.guide(features, top_k=1)])
    none = recommender.bundle.batch([features], [text], [Guidance()])
    assert one.attention_mask.sum() > none.attention_mask.sum()


@pytest.mark.parametrize(
    "text",
    [
        "初雪が降りました ❄️",
        "первый снег в этом году",
        "أول ثلج هذا العام",
        "ปีนี้หิมะตกครั้งแรก",
        "👨‍👩‍👧‍👦 😂😂 🇨🇭",
        "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢",
        "a\0b\u202ec\ufeff",
        " \t\n ",
        "[SEP] <s> </s> [PAD] [UNK] <sep>",
        "caf\udce9",  # an argument in Latin-1 on a system of UTF-8
    ],
)
def test_any_text_is_a_description(recommender: Recommender, clips: list[Path], text: str) -> None:
    answer = recommender.recommend(clips[2], text)
    assert answer.hashtags
    assert json.loads(json.dumps(answer.description)) == answer.description
    answer.description.encode()  # no half characters


def test_a_character_in_two_halves_is_joined(recommender: Recommender, clips: list[Path]) -> None:
    assert recommender.recommend(clips[2], "so cold \ud83d\ude00").description == "so cold \U0001f600"


def test_notices_of_the_video_come_first(bundle: Bundle, clips: list[Path]) -> None:
    class Worker:
        def decode(self, path: Path, **options: Any) -> Any:
            from ggm.media import decode_video

            return replace(decode_video(path, **options), notices=("damaged packets were skipped",))

    answer = Recommender(bundle, worker=Worker()).recommend(clips[2], "#snow")  # type: ignore[arg-type]
    assert answer.notices == (
        "damaged packets were skipped",
        "hashtags in the description were set aside: #snow",
    )


# Videos that can't be used


def bad_file(kind: str, folder: Path, clip: Path) -> Path:
    path = folder / f"{kind}.mp4"
    if kind == "text":
        path.write_text("This is no video.\n" * 100)
    elif kind == "truncated":
        path.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    elif kind == "empty":
        path.touch()
    elif kind == "directory":
        path.mkdir()
    elif kind == "sound-only":
        with av.open(str(path), "w") as out, av.open(str(clip)) as source:
            stream = out.add_stream_from_template(source.streams.audio[0])
            for packet in source.demux(audio=0):
                if packet.size:
                    packet.stream = stream
                    out.mux(packet)
    return path


BAD: dict[str, tuple[type[MediaError], str]] = {
    "text": (MediaFormatError, "not a video"),
    "truncated": (MediaFormatError, "cut off"),
    "empty": (MediaFormatError, "empty"),
    "directory": (MediaNotFoundError, "is a directory"),
    "missing": (MediaNotFoundError, "no such file"),
    "sound-only": (MediaFormatError, "no video stream"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_video_is_an_error_of_its_own(
    recommender: Recommender, clips: list[Path], tmp_path: Path, kind: str
) -> None:
    path = bad_file(kind, tmp_path, clips[0])
    error, reason = BAD[kind]
    with pytest.raises(error, match=reason) as caught:
        recommender.recommend(path)
    assert type(caught.value) is error
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_videos_do_not_stop_the_others(
    recommender: Recommender, clips: list[Path], tmp_path: Path
) -> None:
    paths = []
    for kind in BAD:
        paths += [bad_file(kind, tmp_path, clips[0]), clips[2]]
    answers = list(recommender.recommend_many((path, "first snow") for path in paths))
    assert [type(answer) for answer in answers[::2]] == [error for error, _ in BAD.values()]
    expected = content(recommender.recommend(clips[2], "first snow"))
    assert [content(answer) for answer in answers[1::2]] == [expected] * len(BAD)


def test_videos_are_taken_one_by_one(recommender: Recommender, clips: list[Path]) -> None:
    taken = []

    def posts() -> Iterator[tuple[Path, str]]:
        for clip in clips:
            taken.append(clip)
            yield clip, ""

    answers = recommender.recommend_many(posts())
    assert taken == []
    next(answers)
    assert taken == clips[:1]


# Systems that can't be used


def test_an_empty_pool_is_an_error_of_the_system(bundle: Bundle, clips: list[Path], tmp_path: Path) -> None:
    """It is raised, never answered as if the video were at fault, nor does it end the list early."""
    pool = bundle.rebuilt_pool(HASHTAGS)
    pool.remove(HASHTAGS)
    save_bundle(replace(bundle, pool=pool), tmp_path / "b")
    with Recommender.from_pretrained(tmp_path / "b") as recommender:
        with pytest.raises(PoolError, match="pool is empty; add hashtags"):
            recommender.recommend(clips[0])
        answers = recommender.recommend_many([(tmp_path / "none.mp4", ""), (clips[0], ""), (clips[1], "")])
        assert isinstance(next(answers), MediaNotFoundError)
        with pytest.raises(PoolError, match="pool is empty; add hashtags"):
            next(answers)
        # The pool lives: what is added serves at once.
        recommender.bundle.pool.add(["snow"], bundle.embed_hashtags(["snow"]))
        assert recommender.recommend(clips[0]).guidance.texts == ("snow",)


def test_a_generator_without_guidance_needs_no_pool(bundle: Bundle, clips: list[Path]) -> None:
    pool = bundle.rebuilt_pool(HASHTAGS)
    pool.remove(HASHTAGS)
    with Recommender(replace(bundle, pool=pool)) as recommender:
        features = recommender.features(recommender.decode(clips[0]))
        guidance = recommender.guide(features, top_k=0)
        assert guidance.hits == ()
        assert recommender.generate(features, "first snow", guidance)


def test_a_missing_bundle_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no bundle there"):
        Recommender.from_pretrained(tmp_path)


@pytest.mark.parametrize("device", ["warp-drive", "cuda:99"])
def test_a_device_that_is_not_there_is_an_error(tiny_bundle_dir: Path, device: str) -> None:
    with pytest.raises(ConfigError, match=f"device '{device}' can't be used here"):
        Recommender.from_pretrained(tiny_bundle_dir, device=device)


# The decoding process


def test_leaving_the_context_ends_the_process(bundle: Bundle, clips: list[Path]) -> None:
    with Recommender(bundle) as recommender:
        recommender.recommend(clips[2])
        pid = pid_of(recommender)
        recommender.recommend(clips[2])
        assert pid_of(recommender) == pid
    assert is_gone(pid)


@pytest.mark.parametrize("error", [KeyboardInterrupt, PoolError])
def test_an_interrupt_leaves_no_process_behind(
    bundle: Bundle, clips: list[Path], monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    pids = []
    with pytest.raises(error), Recommender(bundle) as recommender:  # noqa: PT012
        recommender.recommend(clips[2])
        pids.append(pid_of(recommender))

        def interrupt(*_arguments: object) -> None:
            raise error

        monkeypatch.setattr(recommender, "features", interrupt)
        recommender.recommend(clips[2])
    assert is_gone(pids[0])


def test_a_forgotten_recommender_leaves_no_process_behind(bundle: Bundle, clips: list[Path]) -> None:
    recommender = Recommender(bundle)
    recommender.recommend(clips[2])
    pid = pid_of(recommender)
    del recommender
    gc.collect()
    assert is_gone(pid)


def test_no_process_before_the_first_video(bundle: Bundle) -> None:
    assert Recommender(bundle).worker._process is None


def test_the_fitting_number_needs_probabilities(recommender: Recommender, clips: list[Path]) -> None:
    assert recommender.bundle.scorer is None
    with pytest.raises(BundleError, match="has no scorer"):
        recommender.recommend(clips[0], fitting=True)


def test_no_more_than_fit(recommender: Recommender, clips: list[Path]) -> None:
    size = len(MEASURES)
    # Only what stands first in the guidance is likely.
    steep = tuple(60.0 if name == "reciprocal_place" else 0.0 for name in MEASURES)
    weights = Weights((0.0,) * size, (1.0,) * size, steep, -45.0)
    scored = Recommender(
        replace(recommender.bundle, scorer=Scorer(weights, weights)), worker=recommender.worker
    )
    best = scored.recommend(clips[0], top=3)
    fitting = scored.recommend(clips[0], top=3, fitting=True)
    assert len(best.hashtags) == 3
    assert fitting.hashtags == best.hashtags[:1]
    assert fitting.hashtags[0].score > 0.99


# Decoded posts, several at once


def test_posts_together_get_what_each_gets_alone(bundle: Bundle, clips: list[Path]) -> None:
    from ggm.policy import Policy

    with Recommender(bundle) as recommender:
        posts = [
            DecodedPost(recommender.decode(clips[0]), description="first snow", name="a"),
            DecodedPost(recommender.decode(clips[1]), name="b", top=2),
            DecodedPost(
                recommender.decode(clips[2]),
                description="a cat #dog",
                name="c",
                policy=Policy(novel="forbid"),
            ),
            DecodedPost(recommender.decode(clips[3]), name="d", decoding=DecodingConfig(num_beams=1)),
            DecodedPost(recommender.decode(clips[0]), name="e", policy=Policy(block=("cat", "dog", "s*"))),
        ]
        stages: list[str] = []
        together = recommender.recommend_decoded(posts, on_stage=stages.append)
        alone = [recommender.recommend_decoded([post])[0] for post in posts]
    assert stages == ["features", "retrieve", "generate"]
    for one, other in zip(together, alone, strict=True):
        assert (one.video, one.description, one.notices) == (other.video, other.description, other.notices)
        assert [item.text for item in one.hashtags] == [item.text for item in other.hashtags]
        assert [item.source for item in one.hashtags] == [item.source for item in other.hashtags]
        for item, wanted in zip(one.hashtags, other.hashtags, strict=True):
            assert item.score == pytest.approx(wanted.score, abs=1e-4)
        assert one.guidance.texts == other.guidance.texts
        assert [change.text for change in one.changes] == [change.text for change in other.changes]
        assert list(one.seconds) == ["features", "retrieve", "generate", "total"]
    assert len(together[1].hashtags) == 2
    assert not any(item.source == "novel" for item in together[2].hashtags)
    assert not any(item.text.lower().startswith("s") for item in together[4].hashtags)


def test_a_decoded_post_is_answered_as_its_file_is(recommender: Recommender, clips: list[Path]) -> None:
    (answer,) = recommender.recommend_decoded(
        [DecodedPost(recommender.decode(clips[0]), description="snow", name=str(clips[0]))]
    )
    assert content(answer) == content(recommender.recommend(clips[0], "snow"))
    assert recommender.recommend_decoded([]) == []


def test_what_decoded_posts_cant_have(recommender: Recommender, clips: list[Path]) -> None:
    video = recommender.decode(clips[0])
    with pytest.raises(ValueError, match="top must be at least 1"):
        DecodedPost(video, top=0)
    with pytest.raises(BundleError, match="has no scorer"):
        recommender.recommend_decoded([DecodedPost(video, fitting=True)])


def test_keyframes_are_looked_at_where_they_are_wanted(bundle: Bundle, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", seconds=6, gop=30)
    with Recommender(bundle, frames="nearest-keyframe") as recommender:
        video = recommender.decode(path)
        assert len(recommender.recommend(path).hashtags) == 5
    assert sorted(set(video.frames.timestamps_seconds.round().tolist())) == [0, 3]
