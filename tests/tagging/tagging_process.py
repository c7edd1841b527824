"""Tags a folder with made-up hashtags, slowly enough to be killed.

python tagging_process.py FOLDER KIND ROUND
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import get_args

from ggm.tagging.finding import Kind, find_videos
from ggm.tagging.ledger import Ledger
from ggm.tagging.run import Job, tag_videos
from ggm.tagging.undo import undo
from tagging_world import Made


def main(folder: Path, kind: str, settings: str) -> None:
    with Ledger(folder / ".ggm") as ledger:
        if settings == "undo":
            for _ in undo(folder, ledger):
                pass
            ledger.remove_if_empty()
            return
        chosen = next(known for known in get_args(Kind) if known == kind)
        made = Made([f"Tag{settings}"])
        job = Job(folder, chosen, made, settings={"round": settings})
        for _ in tag_videos(job, ledger, list(find_videos(folder))):
            pass


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
