"""Streamed videos train a network as the same videos in memory do, bit for bit."""

from pathlib import Path
from typing import Any

import jax
import optax
from flax import linen
from PIL import Image

from jaxcnn import data, nn, train
from tests.train.runs import assert_same


class Network(linen.Module):
    """One convolution in space and time, and the mean over all positions."""

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits ``(batch, 2)`` of clips ``(batch, frames, height, width, channels)``."""
        return linen.Dense(2)(linen.relu(nn.Conv(4, (3, 3, 3))(x)).mean((1, 2, 3)))


def write_videos(root: Path) -> None:
    """Videos of four frames, which become lighter in one class and darker in the other."""
    for name, sign in (("lighter", 1), ("darker", -1)):
        for video in range(8):
            for frame in range(4):
                file = root / name / f"video{video}" / f"{frame}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (6, 6), 120 + 10 * video + 20 * sign * frame).save(file)


def test_streamed_videos_train_as_those_in_memory(tmp_path: Path) -> None:
    write_videos(tmp_path / "videos")
    options: dict[str, Any] = {"frames": 3, "image_size": 6, "channels": 1}
    sets = data.video_folder(tmp_path / "videos", **options), data.stream(f"folder:{tmp_path / 'videos'}", **options)
    ends = [
        train.fit(
            train.Experiment(
                **train.classification(Network(), source="video"),
                data=videos,
                optimizer=optax.sgd(0.1),
                epochs=2,
                batch_size=4,
            ),
            tmp_path / type(videos).__name__,
        )
        for videos in sets
    ]
    assert_same(ends[0].variables, ends[1].variables)
    records = [{name: value for name, value in end.history[-1].items() if "loss" in name} for end in ends]
    assert records[0] == records[1] and "test/loss" in records[0]
