"""Writes to a pool as fast as it can from several threads, and says of each change that it happened.

python writer_process.py POOL ROUND
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence

import numpy as np

from ggm.pool import LivingPool
from pools import WIDTH, Clock, embed, observed


def main(folder: str, number: str) -> None:
    pool = LivingPool.open(folder, embed=embed, clock=Clock())
    saying = threading.Lock()

    def say(*words: str) -> None:
        with saying:
            sys.stdout.write(" ".join(words) + "\n")
            sys.stdout.flush()

    def letters(value: int) -> str:
        return "".join(chr(97 + int(digit)) for digit in str(value))

    def write(thread: int) -> None:
        for turn in range(10_000):
            name = f"r{letters(int(number))}t{letters(thread)}n{letters(turn)}"
            pool.add([name, f"{name}x"])
            say("added", name, f"{name}x")
            if turn % 3 == 1:
                say("removing", f"{name}x")
                pool.remove([f"{name}x"])
                say("removed", f"{name}x")
            if turn % 5 == 2:
                pool.alias(name, f"{name}y")
                say("aliased", name, f"{name}y")
            if turn % 7 == 3:
                pool.observe(observed({name: [(float(turn), "a")]}))
                say("used", name)

    threads = [threading.Thread(target=write, args=(thread,), daemon=True) for thread in range(4)]
    say("ready")
    for thread in threads:
        thread.start()
    while True:
        pool.compact()
        pool.search(np.ones(WIDTH), 3)


if __name__ == "__main__":
    arguments: Sequence[str] = sys.argv[1:]
    main(*arguments)
