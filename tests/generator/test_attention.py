from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ggm.generator import CrossModalAttention


def make(**settings: int) -> CrossModalAttention:
    torch.manual_seed(0)
    attention = CrossModalAttention(8, memory_dim=6, num_heads=2, **settings)
    torch.nn.init.normal_(attention.output.weight)
    torch.nn.init.normal_(attention.output.bias)
    return attention.eval()


def slow_twin(attention: CrossModalAttention, query: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
    """One item, one head, one position at a time, softmax by its definition."""
    answers = torch.zeros(*query.shape[:2], attention.output.out_features)
    width = attention.query.out_features // attention.num_heads
    for item in range(len(query)):
        valid = memory[item][mask[item]]
        if not len(valid):
            continue
        for position in range(query.shape[1]):
            heads = []
            for head in range(attention.num_heads):
                rows = slice(head * width, (head + 1) * width)
                q = attention.query(query[item, position])[rows]
                weights = [math.exp(float(q @ attention.key(m)[rows]) / math.sqrt(width)) for m in valid]
                values = [attention.value(m)[rows] for m in valid]
                heads.append(sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights))
            answers[item, position] = attention.output(torch.cat(heads))
    return answers


@pytest.mark.parametrize("settings", [{}, {"width": 4}, {"output_dim": 10}, {"width": 6, "output_dim": 3}])
def test_equals_a_slow_twin(settings: dict[str, int]) -> None:
    attention = make(**settings)
    query, memory = torch.randn(3, 4, 8), torch.randn(3, 5, 6)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 0, 1, 0, 0], [0, 0, 0, 0, 0]], dtype=torch.bool)
    with torch.no_grad():
        torch.testing.assert_close(
            attention(query, memory, memory_mask=mask), slow_twin(attention, query, memory, mask)
        )


def test_by_hand() -> None:
    """One head of width 1, all projections 1: weights e^0 and e^(ln 3), values 0 and ln 3."""
    attention = CrossModalAttention(1, memory_dim=1, num_heads=1)
    for parameter in attention.parameters():
        torch.nn.init.constant_(parameter, float(parameter.dim() == 2))
    memory = torch.tensor([[[0.0], [math.log(3)]]])
    assert attention(torch.ones(1, 1, 1), memory).item() == pytest.approx(0.75 * math.log(3))


def test_starts_as_nothing_so_that_the_residual_is_the_identity() -> None:
    attention = CrossModalAttention(8, memory_dim=6, num_heads=2)
    query = torch.randn(2, 3, 8)
    assert torch.equal(attention(query, torch.randn(2, 4, 6)) + query, query)


def test_zero_start_still_learns() -> None:
    attention = CrossModalAttention(8, memory_dim=6, num_heads=2)
    attention(torch.randn(2, 3, 8), torch.randn(2, 4, 6)).sum().backward()
    assert attention.output.weight.grad is not None
    assert attention.output.weight.grad.abs().max() > 0


def test_masked_positions_do_not_matter() -> None:
    attention = make()
    query, memory = torch.randn(2, 3, 8), torch.randn(2, 5, 6)
    mask = torch.tensor([[1, 1, 0, 1, 0], [1, 1, 1, 0, 0]], dtype=torch.bool)
    changed = torch.where(mask[:, :, None], memory, torch.full_like(memory, 1e4))
    assert torch.equal(
        attention(query, memory, memory_mask=mask), attention(query, changed, memory_mask=mask)
    )
    torch.testing.assert_close(
        attention(query[:1], memory[:1], memory_mask=mask[:1]), attention(query[:1], memory[:1, [0, 1, 3]])
    )


def test_a_row_without_memory_is_exactly_zero_and_has_finite_gradients() -> None:
    attention = make()
    query = torch.randn(2, 3, 8, requires_grad=True)
    memory = torch.randn(2, 4, 6, requires_grad=True)
    mask = torch.tensor([[1, 1, 1, 1], [0, 0, 0, 0]], dtype=torch.bool)
    answer = attention(query, memory, memory_mask=mask)
    assert torch.equal(answer[1], torch.zeros(3, 8))
    assert answer[0].abs().min() > 0
    answer.square().sum().backward()
    for tensor in (query, memory, *attention.parameters()):
        assert tensor.grad is not None
        assert torch.isfinite(tensor.grad).all()
    assert query.grad is not None
    assert memory.grad is not None
    assert torch.equal(query.grad[1], torch.zeros(3, 8))
    assert torch.equal(memory.grad[1], torch.zeros(4, 6))


def test_a_single_memory_token_adds_a_constant() -> None:
    """Softmax over one key is 1, whatever the query: why the sound needs more than one step."""
    attention = make()
    answer = attention(torch.randn(1, 4, 8), torch.randn(1, 1, 6))
    torch.testing.assert_close(answer, answer[:, :1].expand(-1, 4, -1))


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="3 heads can't divide a width of 8"):
        CrossModalAttention(8, memory_dim=6, num_heads=3)


def test_counts_equal_repetitions() -> None:
    attention = make()
    query, memory = torch.randn(3, 4, 8), torch.randn(3, 3, 6)
    counts = torch.tensor([[1, 4, 2], [7, 1, 0], [0, 0, 0]])
    with torch.no_grad():
        for item in range(3):
            repeated = memory[item].repeat_interleave(counts[item], dim=0)[None]
            expected = torch.zeros(1, 4, 8)
            if repeated.shape[1]:
                expected = attention(query[item : item + 1], repeated)
            answer = attention(
                query[item : item + 1],
                memory[item : item + 1],
                memory_mask=counts[item : item + 1] > 0,
                memory_counts=counts[item : item + 1],
            )
            torch.testing.assert_close(answer, expected)
        torch.testing.assert_close(
            attention(query, memory, memory_counts=torch.ones(3, 3)), attention(query, memory)
        )
