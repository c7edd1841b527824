"""Statistics as files, and the pictures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

import ggm
from ggm.corpus import examine, plots, report
from ggm.corpus.check import check_dataset
from ggm.corpus.manifest import MANIFEST_NAMES, write_manifest
from ggm.corpus.plots import write_plots
from ggm.corpus.report import known_videos, report_dataset
from ggm.corpus.statistics import gather_statistics
from ggm.errors import DataError, MissingDependencyError
from ggm.media.guard import DecodingWorker
from ggm.plots import new_figure
from ggm.records import Post
from videos import write_video

ROOT = Path(ggm.__file__).parents[1]
FILES = [
    "rank-frequency.png",
    "rank-frequency.svg",
    "stats.json",
    "words-per-hashtag.png",
    "words-per-hashtag.svg",
]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    write_video(folder / "a.mp4", seconds=0.5, size=(32, 32))
    write_video(folder / "b.mp4", seconds=1.5, size=(32, 32), sound=False)
    posts = [
        Post(f"{n}", folder / f"{'ab'[n % 2]}.mp4", "a cat", ("cat", "日本", f"x{n}y")) for n in range(4)
    ]
    write_manifest(posts, folder / "manifest.jsonl")
    with (folder / "manifest.jsonl").open("a") as manifest:
        manifest.write("broken\n")
    return folder


def test_what_is_written(dataset: Path, tmp_path: Path) -> None:
    found = report_dataset(dataset, out=tmp_path / "new" / "stats")
    assert sorted(path.name for path in (tmp_path / "new" / "stats").iterdir()) == FILES
    assert sorted(path.name for path in found.files) == FILES
    assert json.loads(found.files[0].read_text()) == json.loads(json.dumps(found.statistics.to_dict()))
    assert found.bad_rows == 1
    assert (found.statistics.total.posts, found.statistics.total.duration_seconds) == (4, None)
    for name in FILES:
        path = tmp_path / "new" / "stats" / name
        if path.suffix == ".png":
            with Image.open(path) as picture:
                assert picture.size == (900, 600)
        elif path.suffix == ".svg":
            assert ElementTree.parse(path).getroot().tag.endswith("svg")


def test_nothing_is_written_unless_asked_for(dataset: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert report_dataset(dataset).files == ()
    assert sorted(tmp_path.rglob("*")) == before


def test_videos_are_measured_if_asked_for(dataset: Path) -> None:
    total = report_dataset(dataset, measure_videos=True).statistics.total
    assert total.videos_measured == 4
    assert total.duration_seconds == pytest.approx(1.0, abs=0.1)
    assert total.share_silent == 0.5


def test_what_a_check_found_out_is_used(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_dataset(dataset, tmp_path / "checked")

    def decode(*_: object, **__: object) -> None:
        raise AssertionError("nothing is left to decode")

    monkeypatch.setattr(DecodingWorker, "decode", decode)
    for measure in (False, True):
        total = report_dataset(tmp_path / "checked", measure_videos=measure).statistics.total
        assert (total.videos_measured, total.share_silent) == (4, 0.5)


def test_what_is_known_of_videos(dataset: Path, tmp_path: Path) -> None:
    assert known_videos(dataset) is None
    check_dataset(dataset, tmp_path / "checked")
    facts_of = known_videos(tmp_path / "checked")
    assert facts_of is not None
    assert facts_of(Post("a", dataset / "a.mp4", "", ("cat",))).has_sound  # type: ignore[union-attr]
    assert facts_of(Post("c", dataset / "c.mp4", "", ("cat",))) is None


def test_progress_is_told(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_REPORTED_ROWS", 3)
    told: list[tuple[str, int, int]] = []
    report_dataset(dataset, measure_videos=True, progress=lambda *step: told.append(step))
    assert told == [(stage, done, 5) for stage in ("videos", "count") for done in (3, 5)]


@pytest.mark.parametrize("name", MANIFEST_NAMES)
def test_a_dataset_without_posts(tmp_path: Path, name: str) -> None:
    write_manifest([], tmp_path / name)
    with pytest.raises(DataError, match="no usable post"):
        report_dataset(tmp_path)


def test_bad_arguments(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none/manifest\.jsonl: can't be read"):
        report_dataset(tmp_path / "none")
    with pytest.raises(DataError, match="workers must be at least 1"):
        report_dataset(dataset, measure_videos=True, workers=0)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file: can't be made"):
        report_dataset(dataset, out=tmp_path / "file")


STATISTICS = gather_statistics(
    [
        Post(f"{n}", Path("v"), "", (f"t{n % 3}x", "ThisIsAVeryLongHashtagOfMoreThanEightWords"))
        for n in range(9)
    ]
)


def test_the_same_statistics_give_the_same_pictures(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_plots(STATISTICS, tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_what_the_bars_show() -> None:
    _, axes = new_figure()
    plots._draw_words(axes, {1: 3, 2: 4, 8: 2, 11: 1})
    heights = [bar.get_height() for bar in axes.patches]
    assert heights == pytest.approx([0.3, 0.4, 0, 0, 0, 0, 0, 0.3])


def test_what_the_tail_shows() -> None:
    """One hashtag on 7 posts, two on 3, three on 1: ranks 1, 2-3, 4-6."""
    _, axes = new_figure()
    plots._draw_tail(axes, {1: 3, 3: 2, 7: 1})
    (line,) = axes.lines
    assert line.get_xydata().tolist() == [[1, 7], [1, 7], [2, 3], [3, 3], [4, 1], [6, 1]]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_no_state_of_matplotlib_is_changed(tmp_path: Path) -> None:
    code = (
        "import sys, matplotlib; before = matplotlib.rcParams.copy()\n"
        "from pathlib import Path\nfrom ggm.corpus.plots import write_plots\n"
        "from ggm.corpus.statistics import gather_statistics\nfrom ggm.records import Post\n"
        "write_plots(gather_statistics([Post('a', Path('v'), '', ('x1',))]), Path(sys.argv[1]))\n"
        "assert matplotlib.rcParams.copy() == before and 'matplotlib.pyplot' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, env=environment)


def test_without_matplotlib_the_pip_line_is_named(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'ggm\[data\]'"):
        report_dataset(dataset, out=tmp_path)
    assert report_dataset(dataset).statistics.total.posts == 4, "counting needs none"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="can't be written"):
        write_plots(STATISTICS, tmp_path / "none")


def test_only_checked_records_are_used(dataset: Path) -> None:
    (dataset / examine.VIDEOS_NAME).write_text("damaged\n")
    assert report_dataset(dataset).statistics.total.videos_measured == 0
