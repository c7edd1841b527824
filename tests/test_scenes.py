from __future__ import annotations

import json
from pathlib import Path

import pytest

from ggm.errors import ConfigError, DataError
from ggm.scenes import SCENES_KEY, TOPICS_NAME, Scene, SceneSettings, Topic, parse_scene, read_world


@pytest.mark.parametrize(
    ("scene", "name"),
    [
        (Scene((12, 345), heard=7), "12-345_heard7.scene"),
        (Scene((0,)), "0_noise.scene"),
        (Scene((3, 1, 2), silent=True), "3-1-2_silent.scene"),
    ],
)
def test_a_scene_is_found_by_its_name(scene: Scene, name: str) -> None:
    assert scene.name == name
    assert parse_scene(name) == scene


@pytest.mark.parametrize("name", ["cat.mp4", "_silent.scene", "1-_noise.scene", "1_heard.scene", "1_noise"])
def test_other_names_name_no_scene(name: str) -> None:
    with pytest.raises(DataError, match=r"names no scene, such as '12-345_heard7\.scene'"):
        parse_scene(name)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"min_frames": 3, "max_frames": 2}, "max_frames must be at least min_frames, got 2"),
        ({"distinctness": 1.1}, "distinctness must be within 0 and 1, got 1.1"),
        ({"video_noise": -1.0}, "video_noise must not be negative, got -1.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SceneSettings(**settings)  # type: ignore[arg-type]


def write_topics(folder: Path, *rows: object) -> None:
    (folder / TOPICS_NAME).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def test_the_world_is_read_from_beside_the_manifest(tmp_path: Path) -> None:
    write_topics(tmp_path, {"name": "food", "parent": None}, {"name": "tea", "parent": 0, "rank": 1})
    world = read_world(tmp_path, {SCENES_KEY: {"seed": 4, "video_noise": 2}})
    assert world is not None
    assert world.topics == (Topic("food"), Topic("tea", 0))
    assert world.settings == SceneSettings(video_noise=2.0)
    assert repr(world) == "World(topics=2, seed=4)"
    assert read_world(tmp_path, {"name": "clipart"}) is None


@pytest.mark.parametrize("values", [{}, {"seed": "x"}, {"seed": 1, "colour": 2}, {"seed": 1, "width": 0}, 3])
def test_unusable_settings_are_refused(tmp_path: Path, values: object) -> None:
    with pytest.raises(DataError, match=r"dataset\.json has no usable settings of scenes"):
        read_world(tmp_path, {SCENES_KEY: values})


@pytest.mark.parametrize("row", [{"name": "a"}, {"name": "a", "parent": 1}, {"name": "a", "parent": "b"}, 3])
def test_unusable_topics_are_refused(tmp_path: Path, row: object) -> None:
    settings = {SCENES_KEY: {"seed": 0}}
    with pytest.raises(DataError, match=r"topics\.jsonl: can't be read: .*needs it beside its manifest"):
        read_world(tmp_path, settings)
    write_topics(tmp_path)
    with pytest.raises(DataError, match=r"topics\.jsonl: holds no topic; build the corpus again"):
        read_world(tmp_path, settings)
    write_topics(tmp_path, {"name": "food", "parent": None}, row)
    with pytest.raises(DataError, match=r"topics\.jsonl, row 2: not a topic"):
        read_world(tmp_path, settings)
