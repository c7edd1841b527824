"""The contrastive loss against a loop that spells it out, and by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ggm.errors import HashtagError
from ggm.retriever import contrastive_loss, false_negative_mask


def slow_loss(similarity: Tensor, mask: Tensor | None) -> float:
    """Cell by cell: minus the log of the right pair's share, over rows and over columns."""
    batch = len(similarity)
    total = 0.0
    for i in range(batch):
        for cells in ([(i, j) for j in range(batch)], [(j, i) for j in range(batch)]):
            kept = [c for c in cells if c == (i, i) or mask is None or not mask[c]]
            share = math.exp(similarity[i, i]) / sum(math.exp(similarity[c]) for c in kept)
            total -= math.log(share)
    return total / (2 * batch)


@given(batch=st.integers(1, 6), seed=st.integers(0, 10_000), masked=st.sampled_from([None, 0.0, 0.4, 1.0]))
@settings(max_examples=60, deadline=None)
def test_equals_the_slow_twin(batch: int, seed: int, masked: float | None) -> None:
    random = torch.Generator().manual_seed(seed)
    similarity = torch.randn(batch, batch, generator=random, dtype=torch.float64) * 3
    mask = None if masked is None else torch.rand(batch, batch, generator=random) < masked
    assert float(contrastive_loss(similarity, mask)) == pytest.approx(slow_loss(similarity, mask), abs=1e-9)


def test_worked_by_hand() -> None:
    similarity = torch.tensor([[math.log(3.0), 0.0], [math.log(2.0), math.log(4.0)]])
    # Rows: 3/(3+1), 4/(2+4); columns: 3/(3+2), 4/(1+4).
    expected = -(math.log(3 / 4) + math.log(4 / 6) + math.log(3 / 5) + math.log(4 / 5)) / 4
    assert float(contrastive_loss(similarity)) == pytest.approx(expected)
    mask = torch.tensor([[False, False], [True, False]])  # takes the 2 out
    expected = -(math.log(3 / 4) + math.log(4 / 4) + math.log(3 / 3) + math.log(4 / 5)) / 4
    assert float(contrastive_loss(similarity, mask)) == pytest.approx(expected)


def test_all_negatives_masked_costs_nothing_and_has_finite_gradients() -> None:
    similarity = torch.randn(3, 3, requires_grad=True)
    loss = contrastive_loss(similarity, torch.ones(3, 3, dtype=torch.bool))
    assert float(loss.detach()) == 0.0
    loss.backward()
    assert similarity.grad is not None
    assert torch.equal(similarity.grad, torch.zeros(3, 3))


def test_masked_cells_get_no_gradient() -> None:
    similarity = torch.randn(3, 3, requires_grad=True)
    mask = torch.zeros(3, 3, dtype=torch.bool)
    mask[0, 2] = True
    contrastive_loss(similarity, mask).backward()
    assert similarity.grad is not None
    assert similarity.grad[0, 2] == 0
    assert (similarity.grad != 0).sum() == 8


def test_refuses_shapes_that_are_not_square() -> None:
    with pytest.raises(ValueError, match=r"similarity must be \(B, B\), got \(2, 3\)"):
        contrastive_loss(torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"false_negatives must be \(2, 2\), got \(3, 3\)"):
        contrastive_loss(torch.zeros(2, 2), torch.zeros(3, 3, dtype=torch.bool))


def test_mask_marks_what_a_video_carries() -> None:
    posts = [["cat", "Cute"], ["dog", "cute"], ["car"], ["Cat"]]
    mask = false_negative_mask(posts, ["cat", "cute", "car", "Cat"])
    assert mask.tolist() == [
        [True, True, False, True],  # video 0 carries #cute, drawn for 1, and #Cat, drawn for 3
        [False, True, False, False],  # video 1 carries no #cat: a true negative for it
        [False, False, True, False],
        [True, False, False, True],  # the same hashtag was drawn for 0, in another case
    ]


def test_mask_knows_a_drawn_hashtag_that_its_post_does_not_list() -> None:
    assert false_negative_mask([[], ["cat"]], ["cat", "cat"]).all()


HASHTAGS = st.sampled_from(["cat", "Cat", "dog", "Straße", "STRASSE", "日本"])


@given(posts=st.lists(st.lists(HASHTAGS, min_size=1, max_size=3), min_size=1, max_size=5), data=st.data())
@settings(max_examples=60, deadline=None)
def test_mask_equals_the_slow_twin(posts: list[list[str]], data: st.DataObject) -> None:
    drawn = [data.draw(st.sampled_from(hashtags)) for hashtags in posts]
    folded = [[text.casefold() for text in hashtags] for hashtags in posts]
    expected = [[text.casefold() in hashtags for text in drawn] for hashtags in folded]
    assert false_negative_mask(posts, drawn).tolist() == expected


def test_mask_refuses_unequal_lengths_and_texts_without_hashtag() -> None:
    with pytest.raises(ValueError, match="2 posts need as many drawn hashtags, got 1"):
        false_negative_mask([["a"], ["b"]], ["a"])
    with pytest.raises(HashtagError):
        false_negative_mask([["!!"]], ["cat"])
