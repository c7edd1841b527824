"""Writing nothing but the hashtags of a pool: a prefix trie of how the decoder spells them.

The decoder may only take a token that leads to a hashtag of the pool, and may only separate or end
after a whole one, so that what it writes is in the pool by construction, not by a filter that
leaves gaps afterwards.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import torch
from torch import Tensor
from transformers import LogitsProcessor, NoRepeatNGramLogitsProcessor

from ggm.errors import PoolError

Spell = Callable[[str], tuple[int, ...]]
"""How the decoder writes a hashtag; empty for one that it can't."""

_TEXTS: Final = -1  # no token has this id; under it a node holds the hashtags that end there
_WIDE: Final = 64  # children, above which their tensor is kept

_Node = dict[int, Any]


class HashtagTrie:
    """Hashtags by the token ids that spell them.

    It never changes: `updated` gives another one that shares all nodes that stay as they were, so
    that a search that is under way keeps what it began with.

    Args:
        root: For the class itself; use `build`.
        size: Number of spellings.
    """

    def __init__(self, root: _Node | None = None, size: int = 0) -> None:
        self._root: _Node = {} if root is None else root
        self._size = size
        self._wide: dict[int, Tensor] = {}

    @classmethod
    def build(cls, spelled: Iterable[tuple[Sequence[int], str]]) -> HashtagTrie:
        """A trie of token ids and the hashtags that they spell; of equal ids the first hashtag is read."""
        return cls().updated(added=spelled)

    def __len__(self) -> int:
        """Number of spellings."""
        return self._size

    def __repr__(self) -> str:
        return f"HashtagTrie({self._size} spellings)"

    def updated(
        self,
        *,
        added: Iterable[tuple[Sequence[int], str]] = (),
        removed: Iterable[tuple[Sequence[int], str]] = (),
    ) -> HashtagTrie:
        """Another trie with some hashtags more or less; costs as much as these, not as the whole.

        Args:
            added: Token ids and hashtags; what is there already stays once.
            removed: The same; what isn't there is passed over.
        """
        fresh: set[int] = set()  # nodes of the new trie alone, which may be changed
        root, size = _own(self._root, fresh), self._size
        for ids, text in removed:
            size -= _remove(root, ids, text, fresh)
        for ids, text in added:
            size += _add(root, ids, text, fresh)
        return HashtagTrie(root, size)

    def text(self, ids: Sequence[int]) -> str | None:
        """The hashtag that these ids spell; None if they spell none."""
        node = self._walk(ids)
        return None if node is None or _TEXTS not in node else str(node[_TEXTS][0])

    def next_ids(self, ids: Sequence[int]) -> tuple[Tensor, bool]:
        """How a hashtag that begins with these ids may go on.

        Args:
            ids: Those after the last separator.

        Returns:
            The next ids, int64 (n,), and whether it may end here.
        """
        node = self._walk(ids)
        if node is None:
            return torch.empty(0, dtype=torch.long), False
        wide = self._wide.get(id(node))
        if wide is None:
            wide = torch.tensor([token for token in node if token != _TEXTS], dtype=torch.long)
            if len(wide) > _WIDE:
                self._wide[id(node)] = wide
        return wide, _TEXTS in node

    def _walk(self, ids: Sequence[int]) -> _Node | None:
        node: _Node | None = self._root
        for token in ids:
            node = node.get(token) if node is not None else None
        return node


class PoolTrie:
    """The trie of a pool that lives: built once, then changed by what came and went.

    Args:
        spell: How the decoder writes a hashtag.
    """

    def __init__(self, spell: Spell) -> None:
        self._spell = spell
        self._changing = threading.Lock()
        self._hashtags: tuple[str, ...] = ()
        self._held: frozenset[str] = frozenset()
        self._trie = HashtagTrie()

    def of(self, hashtags: tuple[str, ...]) -> HashtagTrie:
        """The trie of these hashtags, without those that the decoder can't spell.

        The same tuple as the last time costs nothing; other hashtags cost a comparison of both
        sets, and the spelling of those that came.

        Args:
            hashtags: All of a pool, such as `HashtagPool.hashtags`.

        Raises:
            PoolError: If there is none.
        """
        if not hashtags:
            raise PoolError("the hashtag pool is empty; without novel hashtags there is nothing to recommend")
        with self._changing:
            if hashtags is not self._hashtags:
                wanted = frozenset(hashtags)
                came = [text for text in hashtags if text not in self._held]
                went = self._held - wanted
                self._trie = self._trie.updated(added=self._spelled(came), removed=self._spelled(went))
                self._hashtags, self._held = hashtags, wanted
            return self._trie

    def _spelled(self, hashtags: Iterable[str]) -> Iterable[tuple[tuple[int, ...], str]]:
        return ((ids, text) for text in hashtags if (ids := self._spell(text)))


class TrieConstraint(LogitsProcessor):
    """Leaves the decoder only what a trie allows: ``hashtag [sep] hashtag ... [eos]``.

    It sees to repeated n-grams itself: where the ban would leave nothing, as in the middle of a
    hashtag of which the first half was written before, the hashtag may be finished all the same.

    Args:
        trie: What may be written.
        separator_id: Between hashtags.
        eos_token_id: After the last one.
        no_repeat_ngram_size: As in `DecodingConfig`; 0 for no ban.
    """

    def __init__(
        self, trie: HashtagTrie, *, separator_id: int, eos_token_id: int, no_repeat_ngram_size: int = 0
    ) -> None:
        self._trie = trie
        self._separator_id = separator_id
        self._eos_token_id = eos_token_id
        self._ban = NoRepeatNGramLogitsProcessor(no_repeat_ngram_size) if no_repeat_ngram_size else None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores with -inf where a token isn't allowed.

        Args:
            input_ids: int64 (rows, L), from the decoder's start token on.
            scores: (rows, vocabulary).
        """
        allowed = torch.full_like(scores, -torch.inf)
        for row, ids in enumerate(input_ids[:, 1:].tolist()):
            tokens = self._next(ids).to(scores.device)
            allowed[row, tokens] = scores[row, tokens]
        if self._ban is None:
            return allowed
        banned: Tensor = self._ban(input_ids, allowed.clone())
        stuck = torch.isneginf(banned).all(dim=-1, keepdim=True)
        return torch.where(stuck, allowed, banned)

    def _next(self, ids: list[int]) -> Tensor:
        if self._eos_token_id in ids:
            return torch.tensor([self._eos_token_id])  # finished: what follows isn't read
        start = len(ids)
        while start and ids[start - 1] != self._separator_id:
            start -= 1
        tokens, may_end = self._trie.next_ids(ids[start:])
        if not may_end:
            return tokens
        return torch.cat([tokens, torch.tensor([self._separator_id, self._eos_token_id])])


def _own(node: _Node, fresh: set[int]) -> _Node:
    """A node that may be changed: this one if it is new, else a copy."""
    if id(node) in fresh:
        return node
    copy = dict(node)
    fresh.add(id(copy))
    return copy


def _add(root: _Node, ids: Sequence[int], text: str, fresh: set[int]) -> int:
    """Add a hashtag; 1 if its spelling is new."""
    node = root
    for token in ids:
        child = _own(node.get(token, {}), fresh)
        node[token] = child
        node = child
    texts = node.get(_TEXTS, ())
    if text not in texts:
        node[_TEXTS] = (*texts, text)
    return int(not texts)


def _remove(root: _Node, ids: Sequence[int], text: str, fresh: set[int]) -> int:
    """Take a hashtag out, with the nodes that led to it alone; 1 if its spelling is gone."""
    path = [root]
    for token in ids:
        if token not in path[-1]:
            return 0
        path.append(path[-1][token])
    if text not in path[-1].get(_TEXTS, ()):
        return 0
    for place, token in enumerate(ids):
        child = path[place][token] = _own(path[place + 1], fresh)
        path[place + 1] = child
    last = path[-1]
    last[_TEXTS] = tuple(held for held in last[_TEXTS] if held != text)
    if last[_TEXTS]:
        return 0
    del last[_TEXTS]
    for place in range(len(ids) - 1, -1, -1):
        if path[place + 1]:
            break
        del path[place][ids[place]]
    return 1
