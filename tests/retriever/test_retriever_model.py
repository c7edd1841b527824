"""The towers' heads: they start at the pretrained cosine and depart from it only by training."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from ggm.errors import ConfigError
from ggm.retriever import Retriever, RetrieverConfig, contrastive_loss

CONFIG = RetrieverConfig(embedding_dim=6, pooled_dim=4, hidden_dim=8)


def trained(config: RetrieverConfig = CONFIG, *, seed: int = 0) -> Retriever:
    """A retriever whose heads add something."""
    torch.manual_seed(seed)
    retriever = Retriever(config).eval()
    with torch.no_grad():
        for parameter in retriever.parameters():
            if parameter.ndim > 0:
                parameter.normal_()
    retriever.standardise(torch.randn(50, config.pooled_dim) * 3 + 1)
    return retriever


def batch(
    num_frames: list[int], *, config: RetrieverConfig = CONFIG, seed: int = 1
) -> tuple[torch.Tensor, ...]:
    random = torch.Generator().manual_seed(seed)
    shape = (len(num_frames), max(num_frames))
    embeddings = torch.randn(*shape, config.embedding_dim, generator=random)
    pooled = torch.randn(*shape, config.pooled_dim, generator=random)
    mask = torch.arange(shape[1])[None] < torch.tensor(num_frames)[:, None]
    return embeddings, pooled, mask


def test_starts_exactly_at_the_pretrained_cosine() -> None:
    retriever = Retriever(CONFIG)  # in training mode: dropout has nothing to drop yet
    retriever.standardise(torch.randn(20, 4))
    embeddings, pooled, mask = batch([3, 3])
    hashtags = torch.randn(5, 6)
    with torch.no_grad():
        similarity = retriever.embed_videos(embeddings, pooled, mask) @ retriever.embed_hashtags(hashtags).T
    expected = F.normalize(embeddings.sum(1) / 3, dim=-1) @ F.normalize(hashtags, dim=-1).T
    assert torch.equal(similarity, expected)


def test_clip_sizes() -> None:
    config = RetrieverConfig(embedding_dim=512, pooled_dim=768)
    embeddings, pooled, mask = batch([15], config=config)
    with torch.no_grad():
        video = Retriever(config).embed_videos(embeddings, pooled, mask)
    torch.testing.assert_close(video, F.normalize(embeddings.mean(1), dim=-1))


def test_video_embedding_worked_by_hand() -> None:
    config = RetrieverConfig(embedding_dim=2, pooled_dim=1, hidden_dim=1, head_weight=0.5)
    retriever = Retriever(config).eval()
    with torch.no_grad():
        retriever.pooled_mean.fill_(1.0)
        retriever.pooled_std.fill_(2.0)
        hidden, last = retriever.video_head[1], retriever.video_head[4]
        hidden.weight.fill_(1.0)
        hidden.bias.zero_()
        last.weight.copy_(torch.tensor([[2.0], [0.0]]))
    embeddings = torch.tensor([[[0.0, 4.0], [2.0, 0.0]]])
    pooled = torch.tensor([[[3.0], [1.0]]])  # standardised: 1 and 0
    video = retriever.embed_videos(embeddings, pooled, torch.ones(1, 2, dtype=torch.bool))
    gelu_of_one = 0.5 * (1 + math.erf(1 / math.sqrt(2)))
    # Frame 1: (0 + 0.5 * 2 gelu(1), 4); frame 2: (2 + 0, 0); the mean, scaled to length 1.
    mean = torch.tensor([[(gelu_of_one + 2) / 2, 2.0]])
    torch.testing.assert_close(video, mean / mean.norm())


def test_hashtag_embedding_worked_by_hand() -> None:
    retriever = Retriever(RetrieverConfig(embedding_dim=2, pooled_dim=1, head_weight=0.5))
    with torch.no_grad():
        retriever.hashtag_head.weight.copy_(torch.tensor([[0.0, 2.0], [0.0, 0.0]]))
    # (3, 4) + 0.5 * (8, 0) = (7, 4)
    expected = torch.tensor([[7.0, 4.0]]) / math.sqrt(65)
    torch.testing.assert_close(retriever.embed_hashtags(torch.tensor([[3.0, 4.0]])), expected)


def test_padding_changes_nothing_whatever_it_holds() -> None:
    retriever = trained()
    embeddings, pooled, mask = batch([2, 5, 1])
    filled = [tensor.masked_fill(~mask[..., None], torch.nan) for tensor in (embeddings, pooled)]
    videos = retriever.embed_videos(*filled, mask)
    for row, frames in enumerate([2, 5, 1]):
        alone = retriever.embed_videos(
            embeddings[row : row + 1, :frames],
            pooled[row : row + 1, :frames],
            torch.ones(1, frames, dtype=torch.bool),
        )
        torch.testing.assert_close(videos[row : row + 1], alone)
    videos.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in retriever.parameters())


def test_order_of_frames_plays_no_part() -> None:
    retriever = trained()
    embeddings, pooled, mask = batch([5])
    order = torch.tensor([3, 1, 4, 0, 2])
    torch.testing.assert_close(
        retriever.embed_videos(embeddings[:, order], pooled[:, order], mask),
        retriever.embed_videos(embeddings, pooled, mask),
    )


def test_head_weight_blends_and_zero_is_pretrained_alone() -> None:
    retriever = trained()
    embeddings, pooled, mask = batch([3, 2])
    hashtags = torch.randn(4, 6)
    untrained = Retriever(CONFIG).eval()
    none = retriever.with_head_weight(0.0)
    assert torch.equal(
        none.embed_videos(embeddings, pooled, mask), untrained.embed_videos(embeddings, pooled, mask)
    )
    assert torch.equal(none.embed_hashtags(hashtags), untrained.embed_hashtags(hashtags))
    half = retriever.with_head_weight(0.5)
    assert half.config.head_weight == 0.5
    assert retriever.config.head_weight == 1.0  # the original is as it was
    assert not torch.allclose(half.embed_hashtags(hashtags), retriever.embed_hashtags(hashtags))
    with torch.no_grad():
        half.hashtag_head.weight.zero_()
    assert retriever.hashtag_head.weight.abs().sum() > 0
    with pytest.raises(ConfigError, match=r"head_weight must be within 0 and 1, got 1\.5"):
        retriever.with_head_weight(1.5)


@given(scale=st.floats(0.01, 1000), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_embeddings_have_unit_length(scale: float, seed: int) -> None:
    retriever = trained()
    embeddings, pooled, mask = batch([1, 4], seed=seed)
    with torch.no_grad():
        videos = retriever.embed_videos(embeddings * scale, pooled, mask)
        hashtags = retriever.embed_hashtags(embeddings[0] * scale)
    torch.testing.assert_close(videos.norm(dim=-1), torch.ones(2))
    torch.testing.assert_close(hashtags.norm(dim=-1), torch.ones(4))


def test_cached_half_precision_features_are_accepted() -> None:
    embeddings, pooled, mask = batch([3])
    video = trained().embed_videos(embeddings.half(), pooled.half(), mask)
    assert video.dtype == torch.float32


def test_standardise_takes_mean_and_deviation_of_training_frames() -> None:
    retriever = Retriever(RetrieverConfig(embedding_dim=2, pooled_dim=2))
    retriever.standardise(torch.tensor([[1.0, 10.0], [3.0, 10.0]]))
    # Deviations are 1 and 0; 5 % of their mean keeps the silent channel from a division by zero.
    torch.testing.assert_close(retriever.pooled_mean, torch.tensor([2.0, 10.0]))
    torch.testing.assert_close(retriever.pooled_std, torch.tensor([1.025, 0.025]))
    retriever.standardise(torch.tensor([[5.0, 6.0]]))
    torch.testing.assert_close(retriever.pooled_std, torch.ones(2))


@settings(max_examples=30)
@given(sizes=st.lists(st.integers(1, 20), min_size=1, max_size=6), scale=st.floats(1e-3, 1e3))
def test_standardise_takes_frames_in_parts(sizes: list[int], scale: float) -> None:
    """The same as all at once, far from zero too."""
    torch.manual_seed(0)
    frames = torch.randn(sum(sizes), 4) * scale + 1000
    retriever = Retriever(CONFIG)
    retriever.standardise(iter(frames.split(sizes)))
    deviation = frames.double().std(0, correction=0)
    expected = deviation + 0.05 * deviation.mean() if len(frames) > 1 else torch.ones(4)
    torch.testing.assert_close(retriever.pooled_mean, frames.double().mean(0).float(), rtol=1e-6, atol=0)
    torch.testing.assert_close(retriever.pooled_std, expected.float(), rtol=1e-6, atol=0)


def test_standardise_refuses_what_would_spoil_it() -> None:
    with pytest.raises(ValueError, match="at least one part"):
        Retriever(CONFIG).standardise([])
    retriever = Retriever(CONFIG)
    with pytest.raises(ValueError, match=r"frame_pooled must be \(any, 4\), got \(3, 5\)"):
        retriever.standardise(torch.zeros(3, 5))
    for bad in (torch.zeros(0, 4), torch.full((2, 4), torch.nan), torch.full((2, 4), torch.inf)):
        with pytest.raises(ValueError, match="at least one row, all finite"):
            retriever.standardise(bad)


def test_embed_refuses_wrong_shapes_and_videos_without_frames() -> None:
    retriever = Retriever(CONFIG)
    embeddings, pooled, mask = batch([2, 2])
    with pytest.raises(ValueError, match="frame_embeddings must be"):
        retriever.embed_videos(embeddings[..., :5], pooled, mask)
    with pytest.raises(ValueError, match="frame_pooled must be"):
        retriever.embed_videos(embeddings, pooled[:, :1], mask)
    mask[1] = False
    with pytest.raises(ValueError, match="at least one frame"):
        retriever.embed_videos(embeddings, pooled, mask)
    with pytest.raises(ValueError, match="embeddings must be"):
        retriever.embed_hashtags(torch.zeros(3, 5))


@pytest.mark.parametrize("initial", [1.0, 20.0, 100.0])
def test_logit_scale_starts_as_configured_and_learns_from_there(initial: float) -> None:
    retriever = Retriever(RetrieverConfig(embedding_dim=2, pooled_dim=2, initial_temperature=initial))
    torch.testing.assert_close(retriever.logit_scale, torch.tensor(initial))
    retriever.logit_scale.backward()
    assert retriever.log_logit_scale.grad is not None
    assert retriever.log_logit_scale.grad > 0


def test_logit_scale_is_limited_but_never_stuck() -> None:
    """A plain clamp has no gradient beyond its limit: a scale that got there stayed for ever."""
    retriever = Retriever(CONFIG)
    with torch.no_grad():
        retriever.log_logit_scale.fill_(9.0)
    torch.testing.assert_close(retriever.logit_scale, torch.tensor(100.0))
    retriever.logit_scale.backward()
    torch.testing.assert_close(retriever.log_logit_scale.grad, torch.tensor(100.0))


def test_training_brings_pairs_together() -> None:
    torch.manual_seed(0)
    retriever = Retriever(RetrieverConfig(embedding_dim=8, pooled_dim=8, hidden_dim=32, dropout=0.0))
    embeddings, pooled, hashtags = torch.randn(8, 1, 8), torch.randn(8, 1, 8), torch.randn(8, 8)
    mask = torch.ones(8, 1, dtype=torch.bool)
    losses = []
    for _ in range(100):
        videos = retriever.embed_videos(embeddings, pooled, mask)
        loss = contrastive_loss(retriever.logit_scale * videos @ retriever.embed_hashtags(hashtags).T)
        gradients = torch.autograd.grad(loss, list(retriever.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(retriever.parameters(), gradients, strict=True):
                parameter -= 0.1 * gradient
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.05 * losses[0]
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_state_survives_a_round_trip_buffers_included() -> None:
    retriever = trained()
    other = Retriever(RetrieverConfig.from_dict(retriever.config.to_dict())).eval()
    other.load_state_dict(retriever.state_dict())
    assert torch.equal(other.pooled_std, retriever.pooled_std)
    assert other.fingerprint("towers") == retriever.fingerprint("towers")
    features = batch([3, 1])
    assert torch.equal(other.embed_videos(*features), retriever.embed_videos(*features))


def test_fingerprint_tells_towers_settings_and_weights_apart() -> None:
    retriever = trained()
    original = retriever.fingerprint("towers")
    assert len(original) == 64
    assert original == trained().fingerprint("towers")
    others = {
        retriever.fingerprint("other towers"),
        retriever.with_head_weight(0.9).fingerprint("towers"),
        trained(seed=3).fingerprint("towers"),
    }
    with torch.no_grad():
        retriever.pooled_mean[0] += 1e-3
    others.add(retriever.fingerprint("towers"))
    assert len(others | {original}) == 5
    assert retriever.bfloat16().fingerprint("towers") not in others


def test_config_refuses_unknown_keys_and_values_out_of_range() -> None:
    values = CONFIG.to_dict()
    assert RetrieverConfig.from_dict(values) == CONFIG
    with pytest.raises(ConfigError, match="unknown key heads"):
        RetrieverConfig.from_dict(values | {"heads": 2})
    for name, bad in {
        "embedding_dim": 0,
        "pooled_dim": 0,
        "hidden_dim": -1,
        "dropout": 1.0,
        "head_weight": -0.1,
        "initial_temperature": 101.0,
    }.items():
        with pytest.raises(ConfigError, match=name):
            RetrieverConfig.from_dict(values | {name: bad})
