"""Films: H.264 in MP4 of the asked length and size at 8 frames a second, with sound where it was asked for."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ._look import caption, theme_of
from .pictures import Scene, Zoom, encode, labelled

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["film", "still"]

FRAMES_A_SECOND: Final = 8
_SCENE_S: Final = 10.0  # the length of one pass through a scene


def still(prompt: str, model: str, seed: int, size: tuple[int, int], *, base: Image.Image | None = None) -> bytes:
    """The film's thumbnail, JPEG."""
    return encode(labelled(_scene(prompt, seed, size, base).frame(0.05), prompt, model, at_top=True), "jpeg")


def _scene(prompt: str, seed: int, size: tuple[int, int], base: Image.Image | None) -> Scene | Zoom:
    return Scene(theme_of(prompt, seed), size) if base is None else Zoom(base, size)


def film(
    prompt: str,
    model: str,
    seed: int,
    size: tuple[int, int],
    duration_s: float,
    *,
    sound: Any = None,
    base: Image.Image | None = None,
) -> bytes:
    """The film: a scene, or a slow move over the given first frame.

    `sound` is a float array of mono samples at 44,100 Hz, or ``None`` for a silent film.
    """
    import av

    scene = _scene(prompt, seed, size, base)
    frames = max(round(duration_s * FRAMES_A_SECOND), 1)
    label: Image.Image | None = None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "film.mp4")  # moving the index to the front of the file needs a real file
        with av.open(path, "w", format="mp4", options={"movflags": "+faststart"}) as file:
            file.metadata["title"] = f"SANDBOX: made by the sandbox, not by {model}"
            stream = file.add_stream("libx264", rate=FRAMES_A_SECOND)
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            stream.options = {"preset": "veryfast", "crf": "24", "tune": "animation"}
            track = None
            if sound is not None:
                track = file.add_stream("aac", rate=44_100)
                track.layout = "mono"
            for i in range(frames):
                drawn = scene.frame(0.05 + i / FRAMES_A_SECOND / _SCENE_S)
                if label is None:
                    whole = caption(drawn, prompt, model, at_top=True)
                    label = whole.crop(whole.getbbox())
                drawn.paste(label, (0, 0), label)
                frame = av.VideoFrame.from_image(drawn)  # type: ignore[no-untyped-call] # not annotated in av
                frame.pts, frame.time_base = i, Fraction(1, FRAMES_A_SECOND)
                file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
            if track is not None:
                _add_sound(file, track, sound)
        return path.read_bytes()


def _add_sound(file: Any, track: Any, sound: Any) -> None:
    import av
    import numpy as np

    samples = (np.clip(sound, -1, 1) * 32767).astype(np.int16)
    for at in range(0, len(samples), 1024):
        frame = av.AudioFrame.from_ndarray(samples[at : at + 1024][None, :], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 44_100, at, Fraction(1, 44_100)
        file.mux(track.encode(frame))
    file.mux(track.encode(None))
