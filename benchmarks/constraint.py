"""What it costs to write nothing outside the pool: building the trie, changing it, decoding with it.

    python benchmarks/constraint.py [--sizes 10000 100000] [--model compact]

Times are seconds of CPU on one thread, so that a busy machine changes them little. Hashtags are
two or three words of the bundle's vocabulary, run together.
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ggm.generator import decoding as decoding_module
from ggm.generator.constraint import PoolTrie, TrieConstraint
from ggm.generator.decoding import generate
from ggm.hashtags import split_words
from ggm.recommend import Recommender

STEPS: list[float] = []
CLIP = Path(__file__).parents[1] / "examples" / "cat.mp4"


def cpu_seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


class TimedConstraint(TrieConstraint):
    """Remembers how long each step took it."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        start = time.process_time()
        allowed = super().__call__(input_ids, scores)
        STEPS.append(time.process_time() - start)
        return allowed


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--model", default="compact")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    decoding_module.TrieConstraint = TimedConstraint
    with Recommender.from_pretrained(arguments.model) as recommender:
        bundle, layout = recommender.bundle, recommender.generator.layout
        features = recommender.features(recommender.decode(CLIP))
        guidance = recommender.guide(features)
        batch = bundle.batch([features], ["first snow"], [guidance])
        words = sorted({word for text in bundle.vocabulary for word in split_words(text) if word.isalpha()})
        rng = random.Random(0)

        def decode(**options: object) -> None:
            generate(recommender.generator, batch, decoding=bundle.decoding, **options)  # type: ignore[arg-type]

        def best(call: Callable[[], object]) -> float:
            return min(cpu_seconds(call) for _ in range(5))

        def bound(tries: PoolTrie, hashtags: tuple[str, ...]) -> str:
            trie = tries.of(hashtags)
            STEPS.clear()
            seconds = best(lambda: decode(only=trie))
            steps = sorted(STEPS)
            own = 1000 * steps[len(steps) // 2]
            return f"{seconds:.3f} s ({len(steps) // 5} steps, {own:.2f} ms of each the trie's)"

        decode()
        print(f"decoding freely: {best(decode):.3f} s")
        own = bundle.pool.hashtags
        print(f"{len(own):,} hashtags, the bundle's own: decoding {bound(PoolTrie(layout.hashtag_ids), own)}")
        for size in arguments.sizes:
            pool: set[str] = set()
            while len(pool) < size:
                pool.add("".join(rng.choices(words, k=rng.randint(2, 3))))
            hashtags = tuple(sorted(pool))
            spelling = cpu_seconds(lambda hashtags=hashtags: [layout.hashtag_ids(text) for text in hashtags])
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            tries = PoolTrie(layout.hashtag_ids)
            building = cpu_seconds(lambda tries=tries, hashtags=hashtags: tries.of(hashtags))
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
            more = (*hashtags[100:], *(f"brandnew{number}" for number in range(100)))
            updating = cpu_seconds(lambda tries=tries, more=more: tries.of(more))
            print(
                f"{size:,} hashtags: spelling {spelling:.2f} s, trie {building:.2f} s and {grown:.0f} MB, "
                f"100 out and 100 in {updating:.3f} s, decoding {bound(tries, more)}"
            )


if __name__ == "__main__":
    main()
