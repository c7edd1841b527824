"""The command line, mostly in this process: what is printed where, and the exit status."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
from PIL import Image, ImageDraw

import commands
import ggm
from ggm.bundle import save_bundle
from ggm.corpus.manifest import load_dataset
from ggm.errors import BundleError, MediaNotFoundError
from ggm.evaluation.predictions import read_predictions
from ggm.recommend import Recommender
from ggm.records import Guidance, Hit, Recommendation, RecommendedHashtag
from ggm.serving import show
from systems import HASHTAGS, random_bundle

ROOT = Path(ggm.__file__).parents[1]


@dataclass(frozen=True)
class Result:
    status: int
    out: str
    err: str

    @property
    def json(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Result]


@pytest.fixture
def run(run: commands.Run) -> Run:
    """The same, with its output as JSON."""
    return lambda *arguments: Result(*run(*arguments))


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "ggm", *map(str, arguments)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def is_one_line(text: str) -> bool:
    return text.endswith("\n") and text.count("\n") == 1 and text.startswith("error: ")


def damaged(bundle_dir: Path, folder: Path) -> Path:
    copy = shutil.copytree(bundle_dir, folder)
    path = copy / "generator.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    return copy


# ggm recommend --json


def test_the_json_of_one_video(run: Run, tiny_bundle_dir: Path, clips: list[Path]) -> None:
    result = run("recommend", clips[0], "-d", "first snow", "--model", tiny_bundle_dir, "--json")
    assert (result.status, result.err) == (0, "")
    (answer,) = result.json
    assert list(answer) == [
        "video", "description", "hashtags", "changes", "guidance", "notices", "seconds",
    ]  # fmt: skip
    assert answer["video"] == str(clips[0])
    assert answer["description"] == "first snow"
    assert len(answer["hashtags"]) == 5
    for item in answer["hashtags"]:
        assert [(name, type(value)) for name, value in item.items()] == [
            ("text", str), ("display", str), ("score", float), ("source", str), ("flagged", bool),
        ]  # fmt: skip
        assert item["source"] in ("guidance", "vocabulary", "novel")
        assert not item["text"].startswith("#")
        assert 0 <= item["score"] <= 1
    scores = [item["score"] for item in answer["hashtags"]]
    assert scores == sorted(scores, reverse=True)
    assert len(answer["guidance"]) == 4
    for hit in answer["guidance"]:
        assert [(name, type(value)) for name, value in hit.items()] == [("text", str), ("similarity", float)]
        assert hit["text"] in HASHTAGS
    assert answer["changes"] == answer["notices"] == []
    assert list(answer["seconds"]) == ["decode", "features", "retrieve", "generate", "total"]
    assert all(type(value) is float for value in answer["seconds"].values())

    with Recommender.from_pretrained(tiny_bundle_dir) as recommender:
        same = recommender.recommend(clips[0], "first snow")
    assert [(item["text"], item["display"], item["source"]) for item in answer["hashtags"]] == [
        (item.text, item.display, item.source) for item in same.hashtags
    ]
    assert scores == pytest.approx([item.score for item in same.hashtags], abs=1e-6)


def test_one_line_a_video_and_an_error_on_its_own(
    run: Run, tiny_bundle_dir: Path, clips: list[Path], tmp_path: Path
) -> None:
    text, empty = tmp_path / "text.mp4", tmp_path / "empty.mp4"
    text.write_text("This is no video.\n" * 100)
    empty.touch()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(clips[0].read_bytes()[:2000])
    videos = [clips[0], text, tmp_path / "none.mp4", clips[1], tmp_path, empty, cut, clips[2]]
    result = run("recommend", *videos, "--model", tiny_bundle_dir, "--json", "--top", 2)
    assert (result.status, result.err) == (1, "")
    answers = result.json
    assert [answer["video"] for answer in answers] == [str(path) for path in videos]
    assert [len(answer["hashtags"]) for answer in answers if "hashtags" in answer] == [2, 2, 2]
    errors = {answer["video"]: answer for answer in answers if "error" in answer}
    for answer in errors.values():
        assert list(answer) == ["video", "error"]
        assert list(answer["error"]) == ["type", "message"]
        assert answer["video"] in answer["error"]["message"]
    assert [(Path(video).name, answer["error"]["type"]) for video, answer in errors.items()] == [
        ("text.mp4", "MediaFormatError"),
        ("none.mp4", "MediaNotFoundError"),
        (tmp_path.name, "MediaNotFoundError"),
        ("empty.mp4", "MediaFormatError"),
        ("cut.mp4", "MediaFormatError"),
    ]


def test_a_description_with_hashtags_and_of_any_script(
    run: Run, tiny_bundle_dir: Path, clips: list[Path]
) -> None:
    description = "初雪 ❄️ so cold #winter #日本"
    result = run("recommend", clips[2], "-d", description, "--model", tiny_bundle_dir, "--json")
    assert result.status == 0
    (answer,) = result.json
    assert answer["description"] == "初雪 ❄️ so cold"
    assert answer["notices"][0] == "hashtags in the description were set aside: #winter #日本"
    assert "初雪 ❄️" in result.out  # readable, not escaped


def test_a_file_name_that_is_not_unicode(
    run: Run, tiny_bundle_dir: Path, clips: list[Path], tmp_path: Path
) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4"))
    path.write_bytes(clips[2].read_bytes())
    result = run("recommend", path, "--model", tiny_bundle_dir, "--json")
    assert result.status == 0
    assert result.json[0]["video"] == str(path)
    plain = run("recommend", path, tmp_path / os.fsdecode(b"\xff.mp4"), "--model", tiny_bundle_dir)
    assert plain.status == 1
    assert "caf" in plain.out
    assert is_one_line(plain.err)


# ggm recommend, for people


def test_what_a_person_sees(run: Run, tiny_bundle_dir: Path, clips: list[Path], tmp_path: Path) -> None:
    missing = tmp_path / "none.mp4"
    result = run("recommend", clips[0], missing, "-d", "So cold! #winter", "--model", tiny_bundle_dir)
    assert result.status == 1
    heading, chips, notice = result.out.splitlines()
    assert heading.split()[0] == str(clips[0])
    assert heading.endswith(" s")
    assert len(chips.split()) == 5
    assert all(chip.startswith("#") for chip in chips.split())
    assert notice == "  note: hashtags in the description were set aside: #winter"
    assert result.err == f"error: {missing}: no such file\n"
    assert "\x1b" not in result.out + result.err  # no colours in a file


@pytest.mark.parametrize("top", [1, 3])
def test_top(run: Run, tiny_bundle_dir: Path, clips: list[Path], top: int) -> None:
    result = run("recommend", clips[2], "--top", top, "--model", tiny_bundle_dir)
    assert result.status == 0
    assert len(result.out.splitlines()[1].split()) == top


def test_explain_shows_guidance_and_sources(run: Run, tiny_bundle_dir: Path, clips: list[Path]) -> None:
    arguments = ("recommend", clips[0], "--top", 9, "--model", tiny_bundle_dir)
    (answer,) = run(*arguments, "--json").json
    plain, explained = run(*arguments), run(*arguments, "--explain")
    assert explained.status == 0
    assert "guidance" not in plain.out
    lines = explained.out.splitlines()
    assert lines[1] == plain.out.splitlines()[1]
    assert lines[2].split() == ["hashtag", "score", "source"]
    rows = [line.split() for line in lines[3:-1]]
    assert rows == [
        [f"#{item['display']}", f"{item['score']:.3f}", item["source"]] for item in answer["hashtags"]
    ]
    assert {row[2] for row in rows} == {"novel", "guidance"}
    hits = "  ".join(f"#{hit['text']} {hit['similarity']:.3f}" for hit in answer["guidance"])
    assert lines[-1] == f"  guidance: {hits}"


# ggm recommend with a policy


def test_a_policy_from_options_and_file(
    run: Run, tiny_bundle_dir: Path, clips: list[Path], tmp_path: Path
) -> None:
    arguments = ("recommend", clips[0], "--model", tiny_bundle_dir, "--top", 4, "--json")
    first, second, *_ = (item["text"] for item in run(*arguments, "--novel", "forbid").json[0]["hashtags"])
    path = tmp_path / "policy.toml"
    path.write_text(f'novel = "flag"\nblock = ["{first}"]\nmax_count = 2\n')
    result = run(*arguments, "--policy", path, "--novel", "forbid", "--block", f"{second}*")
    assert (result.status, result.err) == (0, "")
    (answer,) = result.json
    assert len(answer["hashtags"]) == 2
    assert {item["text"] for item in answer["hashtags"]} <= set(HASHTAGS) - {first, second}
    removed = {change["text"]: change for change in answer["changes"]}
    assert list(removed[first]) == ["text", "action", "rule", "matched", "score", "result"]
    assert (removed[first]["action"], removed[first]["rule"], removed[first]["matched"]) == (
        "removed", "block", first,
    )  # fmt: skip
    assert removed[second]["matched"] == f"{second}*"


def test_explain_says_what_was_left_out_and_why(run: Run, tiny_bundle_dir: Path, clips: list[Path]) -> None:
    arguments = ("recommend", clips[0], "--model", tiny_bundle_dir, "--platform", "x", "--novel", "forbid")
    (answer,) = run(*arguments, "--json").json
    blocked = answer["hashtags"][0]["text"]
    plain, explained = (run(*arguments, "--block", blocked, *more) for more in ((), ("--explain",)))
    assert len(plain.out.splitlines()[1].split()) == 2
    assert "  note: x: no more than 2 advised, 5 hashtags were asked for" in plain.out.splitlines()
    assert f"  removed #{blocked}: block ({blocked})" in explained.out.splitlines()
    assert "removed" not in plain.out


def test_flagged_hashtags_are_marked(run: Run, tiny_bundle_dir: Path, clips: list[Path]) -> None:
    arguments = ("recommend", clips[0], "--model", tiny_bundle_dir, "--top", 9, "--novel", "flag")
    novel = [item for item in run(*arguments, "--json").json[0]["hashtags"] if item["source"] == "novel"]
    assert novel
    assert all(item["flagged"] for item in novel)
    assert run(*arguments).out.splitlines()[1].count("(novel)") == len(novel)


def test_lowest_score_and_allowed_words(run: Run, tiny_bundle_dir: Path, clips: list[Path]) -> None:
    arguments = ("recommend", clips[0], "--model", tiny_bundle_dir, "--json")
    assert run(*arguments, "--min-score", 1).json[0]["hashtags"] == []
    assert run(*arguments, "--allow", "*shit*", "--min-score", 0).status == 0


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--novel", "never"), "policy.novel must be one of allow, flag, forbid, got 'never'"),
        (("--platform", "myspace"), "no preset 'myspace'; there are tiktok"),
        (("--min-score", 2), "policy.min_score must be within 0 and 1"),
        (("--block", "*"), "policy.block: '*' has no letter or digit"),
        (("--policy", "none.toml"), "none.toml: can't read the policy"),
    ],
)
def test_a_bad_policy_is_one_line(run: Run, clips: list[Path], options: tuple[Any, ...], reason: str) -> None:
    result = run(
        "recommend", clips[0], "--model", "no such folder", *options
    )  # said before anything is loaded
    assert (result.status, result.out) == (1, "")
    assert is_one_line(result.err)
    assert reason in result.err


def test_markup_in_what_is_shown_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    answer = Recommendation(
        video="[bold]a[/].mp4",
        description="",
        hashtags=(RecommendedHashtag("a[red]b", "a[red]b", 0.5, "novel"),),
        guidance=Guidance((Hit("[blink]c", 0.25),)),
        notices=("x [/] y",),
        seconds={"total": 1.0},
    )
    show.print_recommendation(answer, explain=True)
    shown = capsys.readouterr().out
    for text in ("[bold]a[/].mp4", "#a[red]b", "#[blink]c 0.250", "note: x [/] y"):
        assert text in shown


def test_nothing_found_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    answer = Recommendation("a.mp4", "", (), Guidance(), (), {"total": 1.0})
    show.print_recommendation(answer, explain=True)
    shown = capsys.readouterr().out
    assert "no hashtag" in shown
    assert "guidance: none" in shown


def test_a_long_line_stays_whole_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    hashtags = tuple(RecommendedHashtag(f"hashtag{n}", f"Hashtag{n}", 0.5, "novel") for n in range(50))
    answer = Recommendation("a.mp4", "", hashtags, Guidance(), ("word " * 100,), {"total": 1.0})
    show.print_recommendation(answer, explain=False)
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_json_where_the_output_takes_ascii_only() -> None:
    script = (
        "from pathlib import Path; from ggm.errors import MediaError\n"
        "from ggm.serving.show import answer_json, print_json_line\n"
        "print_json_line(answer_json(Path('雪😀.mp4'), MediaError('雪😀: no')))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**environment(), "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        capture_output=True,
        check=True,
    )
    answer = json.loads(result.stdout.decode("ascii"))
    assert answer == {"video": "雪😀.mp4", "error": {"type": "MediaError", "message": "雪😀: no"}}


# What can't be done


def test_a_bundle_that_can_not_be_used(
    run: Run, tiny_bundle_dir: Path, clips: list[Path], tmp_path: Path
) -> None:
    other = shutil.copytree(tiny_bundle_dir, tmp_path / "other")
    save_bundle(random_bundle("tiny", seed=5), tmp_path / "five")
    pool = (tmp_path / "five" / "pool.safetensors").read_bytes()
    (other / "pool.safetensors").write_bytes(pool)
    manifest = json.loads((other / "bundle.json").read_text("utf-8"))
    manifest["files"]["pool.safetensors"] = hashlib.sha256(pool).hexdigest()
    (other / "bundle.json").write_text(json.dumps(manifest), "utf-8")

    bundle = random_bundle("tiny")
    bundle.pool.remove(HASHTAGS)
    save_bundle(bundle, tmp_path / "empty")
    save_bundle(replace(bundle, generator=None, text=None), tmp_path / "retriever")

    cases = {
        damaged(
            tiny_bundle_dir, tmp_path / "damaged"
        ): "generator.safetensors is not the file that was written",
        other: "made by another retriever",
        tmp_path / "none": "no bundle there",
        tmp_path / "empty": "the hashtag pool is empty; add hashtags",
        tmp_path / "retriever": "holds a retriever only",
    }
    for folder, reason in cases.items():
        result = run("recommend", clips[2], "--model", folder, "--json")
        assert result.status == 1, folder
        assert is_one_line(result.err), result.err
        assert reason in result.err
        assert result.out == ""


def test_a_message_of_many_lines_becomes_one(capsys: pytest.CaptureFixture[str]) -> None:
    show.print_error(BundleError("b: damaged:\n\tsize [1, 2]\n\tmismatch"))
    assert capsys.readouterr().err == "error: b: damaged: size [1, 2] mismatch\n"
    show.print_error(MediaNotFoundError("a\nb.mp4: no such file"))
    assert capsys.readouterr().err == "error: a b.mp4: no such file\n"


def test_a_device_that_is_not_there(run: Run, tiny_bundle_dir: Path, clips: list[Path]) -> None:
    result = run("recommend", clips[2], "--model", tiny_bundle_dir, "--device", "warp")
    assert (result.status, result.out) == (1, "")
    assert is_one_line(result.err)
    assert "device 'warp'" in result.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["recommend", "a.mp4", "--frobnicate"],
        ["recommend", "a.mp4", "--top", "0"],
        ["recommend", "a.mp4", "--top", "many"],
        ["recommend"],
        ["frobnicate"],
        ["predict", "compact"],
        ["train", "retriever"],
        ["corpus", "clipart", "x", "--limit", "0"],
    ],
)
def test_a_usage_error_is_status_2(run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert (result.status, result.out) == (2, "")
    assert "Usage: ggm" in result.err


def test_an_interrupt_ends_the_decoding_process(
    run: Run, tiny_bundle_dir: Path, clips: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Recommender] = []

    def interrupt(self: Recommender, video: object) -> None:
        seen.append(self)
        assert self.worker._process is not None
        raise KeyboardInterrupt

    monkeypatch.setattr(Recommender, "features", interrupt)
    result = run("recommend", clips[2], "--model", tiny_bundle_dir)
    assert result.status not in (0, 2)
    assert "Traceback" not in result.err
    assert seen[0].worker._process is None


# Other commands


def test_version(run: Run) -> None:
    assert run("--version") == Result(0, f"ggm {ggm.__version__}\n", "")


def test_help_of_every_command(run: Run) -> None:
    assert run().out.split() == run("--help").out.split()
    for arguments in [
        ["recommend"], ["predict"], ["score"], ["evaluate"], ["model", "info"], ["corpus", "clipart"],
        ["corpus", "art"],
        ["train", "retriever"], ["train", "generator"], ["train", "classifier"],
    ]:  # fmt: skip
        result = run(*arguments, "--help")
        assert (result.status, result.err) == (0, "")
        assert f"Usage: ggm {' '.join(arguments)}" in result.out


def add_drawing(library: Path, number: int) -> None:
    """One drawing in the shape of the Open Clip Art Library."""
    for folder in ("svg", "png"):
        (library / folder).mkdir(parents=True, exist_ok=True)
    animal = ("swan", "horse", "lynx", "otter")[number]
    (library / "svg" / f"{animal}.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg"><metadata>'
        '<rdf:RDF xmlns:cc="http://web.resource.org/cc/" xmlns:dc="http://purl.org/dc/elements/1.1/" '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><cc:Work rdf:about="">'
        f"<dc:title>{escape(animal)}</dc:title><dc:subject><rdf:Bag><rdf:li>animal</rdf:li>"
        f"<rdf:li>{animal}</rdf:li></rdf:Bag></dc:subject>"
        f"<dc:creator><cc:Agent><dc:title>Ann {number}</dc:title></cc:Agent></dc:creator>"
        '<cc:license rdf:resource="http://web.resource.org/cc/PublicDomain"/>'
        "</cc:Work></rdf:RDF></metadata></svg>",
        "utf-8",
    )
    image = Image.new("RGBA", (60, 60), (0, 0, 0, 0))
    ImageDraw.Draw(image).rectangle((5, 10 * number, 20 + 10 * number, 55), fill=(200, 30, 30, 255))
    image.save(library / "png" / f"{animal}.png")


def test_corpus_clipart(run: Run, tmp_path: Path) -> None:
    for number in range(4):
        add_drawing(tmp_path / "library", number)
    out = tmp_path / "clipart"
    arguments = ("corpus", "clipart", out, "--source", tmp_path / "library", "--workers", 1)
    result = run(*arguments, "--limit", 3)
    assert result.status == 0
    facts = dict(line.strip().split("  ", 1) for line in result.out.splitlines())
    assert facts["folder"].strip() == str(out)
    assert facts["groups"].strip() == "3"
    assert "beyond the limit" in facts["dropped"]
    assert "render" in result.err  # progress is no result
    posts = load_dataset(out).posts
    assert len(posts) == 3
    assert all(post.video.is_file() and "animal" in post.hashtags for post in posts)

    again = run(*arguments)
    assert (again.status, again.out) == (1, "")
    assert f"error: {out}: exists already" in again.err
    assert "Traceback" not in again.err


def test_predict_and_score(run: Run, tiny_dataset: Path, tiny_bundle_dir: Path, tmp_path: Path) -> None:
    common = ("--data", tiny_dataset, "--cache", tmp_path / "cache")
    files = {}
    for system in ("recommender", "generator", "popular"):
        path = files[system] = tmp_path / f"{system}.jsonl"
        result = run("predict", tiny_bundle_dir, *common, "--out", path, "--system", system)
        assert (result.status, result.out) == (0, f"predictions: {path}\n")
        predictions = read_predictions(path)
        assert [prediction.id for prediction in predictions] == ["10", "11"]
        assert {prediction.system for prediction in predictions} == {system}
        assert predictions[0].reference == ("red", "dog")
    recommended = read_predictions(files["recommender"])[0]
    with Recommender.from_pretrained(tiny_bundle_dir) as recommender:
        answer = recommender.recommend(tiny_dataset / "10.mp4", "a red dog", top=50)
    assert recommended.guidance == answer.guidance.texts
    # Cached features are kept in float16, so that the tail of a ranking may differ in order.
    assert recommended.hashtags[0] == answer.hashtags[0].text
    popular = read_predictions(files["popular"])[0].hashtags
    assert popular == tuple(reversed(HASHTAGS))

    bounded = tmp_path / "bounded.jsonl"
    small = ("--cache", tmp_path / "small", "--cache-size", "2kB")  # holds next to nothing
    result = run("predict", tiny_bundle_dir, "--data", tiny_dataset, *small, "--out", bounded)
    assert result.status == 0
    assert read_predictions(bounded) == read_predictions(files["generator"])
    assert sum(file.stat().st_size for file in (tmp_path / "small").rglob("*.safetensors")) <= 2000
    wrong = run("predict", tiny_bundle_dir, *common, "--out", bounded, "--cache-size", "much")
    assert wrong.status == 2
    assert "'much' is no size" in wrong.err

    table = run("score", files["popular"], files["recommender"], "--top", 2)
    assert (table.status, table.err) == (0, "")
    head, first, second, *coverage = table.out.splitlines()
    assert head.split()[:4] == ["system", "posts", "top", "ROUGE-1"]
    assert first.split()[:2] == ["popular", "2"]
    assert second.split()[:2] == ["recommender", "2"]
    assert "p=" in second
    assert "p=" not in first
    assert coverage[0].split()[:3] == ["system", "hashtags", "recall@10"]
    assert len(coverage) == 3

    scores = json.loads(run("score", files["popular"], files["recommender"], "--json", "--top", 2).out)
    assert [row["system"] for row in scores["scores"]] == ["popular", "recommender"]
    # The two most frequent hashtags are blue and red; the posts are (red, dog) and (blue, bird).
    assert scores["scores"][0]["f1"]["mean"] == pytest.approx(0.5)
    assert list(scores["first_minus"]) == ["recommender"]


def test_predict_and_score_say_what_is_wrong(
    run: Run, tiny_dataset: Path, tiny_bundle_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "p.jsonl"
    predict = ("predict", tiny_bundle_dir, "--out", out, "--cache", tmp_path / "cache")
    for arguments, reason in [
        (
            (*predict, "--data", tiny_dataset, "--system", "oracle"),
            "no system 'oracle'; there are generator,",
        ),
        ((*predict, "--data", tmp_path / "none"), "none"),
        ((*predict, "--data", tiny_dataset, "--split", "exam"), "exam"),
        (("score", tmp_path / "none.jsonl"), "can't read predictions"),
    ]:
        result = run(*arguments)
        assert (result.status, result.out) == (1, ""), arguments
        assert is_one_line(result.err), result.err
        assert reason in result.err
    assert not out.exists()


@pytest.mark.parametrize("kind", ["retriever", "generator", "classifier"])
def test_a_bad_recipe_is_one_line(run: Run, tmp_path: Path, kind: str) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('name = "x"\nprofile = "tiny"\n[retriever]\nmagic = 1\n', "utf-8")
    extra = ("--retriever", tmp_path) if kind == "generator" else ()
    common = ("--data", tmp_path, "--out", tmp_path / "out", *extra)
    for name, overrides, reason in [
        (recipe, (), "unknown key magic"),
        (tmp_path / "none.toml", (), "no such recipe"),
        (recipe, ("--set", "seed"), "table.key=value"),
    ]:
        result = run("train", kind, name, *common, *overrides)
        assert (result.status, result.out) == (1, "")
        assert is_one_line(result.err), result.err
        assert reason in result.err
    assert not (tmp_path / "out").exists()


# As real processes


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys; sys.argv = ['ggm', '--help']\n"
        "from ggm.serving.cli import main\n"
        "try:\n    main()\n"
        "finally:\n    print('loaded:', *{'torch', 'transformers', 'av', 'numpy'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, text=True, check=True
    )
    assert "recommend" in result.stdout
    assert result.stdout.splitlines()[-1].strip() == "loaded:"


def test_a_real_process_with_a_damaged_bundle(tiny_bundle_dir: Path, tmp_path: Path) -> None:
    arguments = ("recommend", "a.mp4", "--model", damaged(tiny_bundle_dir, tmp_path / "b"))
    result = subprocess.run(
        command(*arguments), env=environment(), capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert is_one_line(result.stderr), result.stderr


def test_a_real_interrupt_leaves_no_process_behind(tiny_bundle_dir: Path, clips: list[Path]) -> None:
    """Ctrl+C in the middle of many videos: what was answered stands, and nothing lives on."""
    arguments = ("recommend", *[clips[2]] * 2000, "--model", tiny_bundle_dir, "--json")
    with subprocess.Popen(
        command(*arguments),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["video"] == str(clips[2])
            children = [
                int(pid)
                for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            ]
            assert len(children) == 1
            process.send_signal(signal.SIGINT)
            rest, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode not in (0, 1, 2)
    assert "Traceback" not in errors
    assert all("hashtags" in json.loads(line) for line in rest.splitlines())
    deadline = time.monotonic() + 5
    while Path(f"/proc/{children[0]}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{children[0]}").exists()
