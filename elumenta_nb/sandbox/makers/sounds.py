"""Sounds: a soft seeded melody for music, a murmur in the rhythm of the text for speech, a chime for effects.

Nothing here can be taken for a voice or a performer; the file's title says SANDBOX. Speech carries its text in the
file's comment, so that the sandbox's transcription can tell a fact.
"""

from __future__ import annotations

import io
import math
from fractions import Fraction
from random import Random
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "RATE",
    "chime",
    "cleaner",
    "decoded",
    "deeper",
    "encode_sound",
    "facts",
    "melody",
    "speech",
    "speech_length",
]

RATE: Final = 44_100
_FORMATS: Final = {  # container, codec, rate, sample format
    "mp3": ("mp3", "libmp3lame", 44_100, "s16p"),
    "wav": ("wav", "pcm_s16le", 44_100, "s16"),
    "ogg": ("ogg", "libopus", 48_000, "s16"),
}
_CHORDS: Final = ((0, 4, 7, 11), (9, 12, 16, 19), (5, 9, 12, 16), (7, 11, 14, 17))
_SCALE: Final = (0, 2, 4, 7, 9, 12, 14, 16, 19)
_VOWELS: Final = (  # first three formants, Hz
    (730, 1090, 2440),
    (530, 1840, 2480),
    (390, 1990, 2550),
    (570, 840, 2410),
    (440, 1020, 2240),
)


def _random(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - a tune, not a secret


def melody(seed: int, duration_s: float) -> Any:
    """A slow progression of chords under a plucked line, as mono samples at `RATE`."""
    import numpy as np

    random = _random(seed)
    total = int(duration_s * RATE)
    out = np.zeros(total + RATE * 6, dtype=np.float32)
    beat = 60 / random.choice((66, 72, 80))
    root = 220 * 2 ** (random.choice((-5, -3, -2, 0, 2)) / 12)
    order = random.sample(_CHORDS, 4)
    bars = math.ceil(duration_s / (beat * 4))
    for bar in range(bars):
        at = bar * beat * 4
        chord = order[bar % 4]
        for note in chord[:3]:
            _pad(out, at, root / 2 * 2 ** (note / 12), beat * 4.6)
        _pluck(out, at, root / 4 * 2 ** (chord[0] / 12), 3.0, 0.16)
        for eighth in range(8):
            if random.random() < (0.35 if eighth % 2 else 0.82):
                note = random.choice(chord) if eighth % 2 == 0 else random.choice(_SCALE)
                _pluck(out, at + eighth * beat / 2, root * 2 ** ((note + 12 * (note < 5)) / 12), 2.2, 0.11)
    out = out[:total]
    _fade(out, 0.4, min(2.5, duration_s / 3))
    return _level(_room(out), 0.6)


def _tone(length: int, frequency: float, partials: tuple[float, ...]) -> Any:
    import numpy as np

    t = np.arange(length, dtype=np.float32) / RATE
    return sum(
        strength * np.sin(2 * np.pi * frequency * (i + 1) * t, dtype=np.float32) for i, strength in enumerate(partials)
    )


def _pluck(out: Any, at_s: float, frequency: float, length_s: float, loud: float) -> None:
    import numpy as np

    at, length = int(at_s * RATE), int(length_s * RATE)
    t = np.arange(length, dtype=np.float32) / RATE
    envelope = np.minimum(t / 0.008, 1) * np.exp(-t * 2.6)
    note = _tone(length, frequency, (1.0, 0.32, 0.12, 0.04)) * envelope * loud
    end = min(at + length, len(out))
    if at < end:
        out[at:end] += note[: end - at]


def _pad(out: Any, at_s: float, frequency: float, length_s: float) -> None:
    import numpy as np

    at, length = int(at_s * RATE), int(length_s * RATE)
    shape = np.abs(np.sin(np.linspace(0, np.pi, length, dtype=np.float32))) ** 1.2
    note = (_tone(length, frequency, (1.0, 0.25)) + _tone(length, frequency * 1.003, (0.7,))) * shape * 0.05
    end = min(at + length, len(out))
    if at < end:
        out[at:end] += note[: end - at]


def _room(sound: Any) -> Any:
    """A few soft echoes."""
    out = sound.copy()
    for delay_s, share in ((0.031, 0.22), (0.067, 0.17), (0.113, 0.12), (0.19, 0.08)):
        n = int(delay_s * RATE)
        if n < len(out):
            out[n:] += sound[:-n] * share
    return out


def _fade(sound: Any, in_s: float, out_s: float) -> None:
    import numpy as np

    rise, fall = min(int(in_s * RATE), len(sound)), min(int(out_s * RATE), len(sound))
    if rise:
        sound[:rise] *= np.linspace(0, 1, rise, dtype=np.float32)
    if fall:
        sound[-fall:] *= np.linspace(1, 0, fall, dtype=np.float32)


def _level(sound: Any, peak: float) -> Any:
    import numpy as np

    loudest = float(np.abs(sound).max()) if len(sound) else 0.0
    return sound * (peak / loudest) if loudest > 0 else sound


def speech_length(text: str, speed: float = 1.0) -> float:
    """How long the text would take to read aloud, in seconds (about 15 characters a second)."""
    return round(min(max(len(text.strip()) / 15, 1.0), 300.0) / min(max(speed, 0.5), 2.0), 2)


def speech(text: str, seed: int, duration_s: float, voices: int = 1) -> Any:
    """A murmur: a vowel-like tone for each syllable, silence between words, as long as reading would take."""
    import numpy as np

    random = _random(seed)
    total = max(int(duration_s * RATE), RATE // 10)
    out = np.zeros(total, dtype=np.float32)
    units: list[tuple[str, float]] = []
    for word in text.split()[:1500] or ["sandbox"]:
        units += [("voice", 1.0)] * max(1, round(len(word) / 3))
        units.append(("pause", 2.4 if word[-1] in ".!?:…" else 1.1 if word[-1] in ",;" else 0.35))
    unit_s = (total / RATE) / sum(weight for _, weight in units)
    pitches = [random.choice((112, 128, 150, 176, 198)) for _ in range(max(voices, 1))]
    at, spoken, sentence = 0.0, 0, 0
    for kind, weight in units:
        length = int(weight * unit_s * RATE)
        if kind == "voice":
            pitch = pitches[sentence % len(pitches)] * (1.06 - 0.012 * (spoken % 14)) * random.uniform(0.97, 1.04)
            _syllable(out, int(at * RATE), int(length * 1.12), pitch, random.choice(_VOWELS))
            spoken += 1
        elif weight > 2:
            spoken, sentence = 0, sentence + 1
        at += weight * unit_s
    _fade(out, 0.02, 0.05)
    return _level(out, 0.5)


def _syllable(out: Any, at: int, length: int, pitch: float, formants: tuple[int, int, int]) -> None:
    import numpy as np

    end = min(at + length, len(out))
    if end - at < 64:
        return
    t = np.arange(end - at, dtype=np.float32) / RATE
    sound = np.zeros(end - at, dtype=np.float32)
    for i in range(1, 18):
        frequency = pitch * i
        strength = sum(
            gain * math.exp(-(((frequency - formant) / (110 + 60 * k)) ** 2))
            for k, (formant, gain) in enumerate(zip(formants, (1.0, 0.5, 0.2), strict=True))
        )
        if strength + 0.3 / i > 0.02:
            sound += (strength + 0.25 / i) / (1 + i / 9) * np.sin(2 * np.pi * frequency * t * (1 - 0.02 * t))
    shape = np.abs(np.sin(np.linspace(0, np.pi, end - at, dtype=np.float32))) ** 0.7
    out[at:end] += sound * shape * 0.2


def chime(seed: int, duration_s: float) -> Any:
    """A rising wash of soft noise that ends in bells: an effect that belongs to nothing in particular."""
    import numpy as np

    random = _random(seed)
    total = int(duration_s * RATE)
    noise = np.random.default_rng(seed).standard_normal(total).astype(np.float32)
    width = 48
    soft = np.convolve(noise, np.ones(width, dtype=np.float32) / width, mode="same")
    out = soft * np.sin(np.linspace(0, np.pi, total, dtype=np.float32)) ** 2 * 0.5
    base = random.choice((392.0, 440.0, 523.25))
    for i, note in enumerate(random.sample((0, 4, 7, 11, 14, 16), 4)):
        _pluck(out, duration_s * (0.15 + 0.18 * i), base * 2 ** (note / 12), min(2.5, duration_s), 0.2)
    _fade(out, 0.02, min(0.4, duration_s / 3))
    return _level(_room(out), 0.6)


def deeper(sound: Any) -> Any:
    """The recording in a deeper voice and the same length: overlapping grains, each played slower."""
    import numpy as np

    grain, ratio = 2048, 0.8
    hop = grain // 2
    window = np.hanning(grain).astype(np.float32)
    out = np.zeros(len(sound) + grain, dtype=np.float32)
    padded = np.concatenate([sound, np.zeros(grain, dtype=np.float32)])
    places = np.arange(grain, dtype=np.float32) * ratio
    for at in range(0, len(sound), hop):
        out[at : at + grain] += np.interp(places, np.arange(grain), padded[at : at + grain]) * window
    return _level(out[: len(sound)], 0.5)


def cleaner(sound: Any) -> Any:
    """The recording without what is below 120 Hz or above 5 kHz."""
    import numpy as np

    spectrum = np.fft.rfft(sound)
    frequency = np.fft.rfftfreq(len(sound), 1 / RATE)
    keep = np.clip((frequency - 80) / 80, 0, 1) * np.clip((6000 - frequency) / 2000, 0, 1)
    return _level(np.fft.irfft(spectrum * keep, len(sound)).astype(np.float32), 0.5)


def encode_sound(sound: Any, extension: str, model: str, *, comment: str = "") -> bytes:
    """The bytes of an ``mp3``, ``wav`` or ``ogg`` file."""
    import av
    import numpy as np

    container, codec, rate, form = _FORMATS[extension]
    if rate != RATE:
        n = int(len(sound) * rate / RATE)
        sound = np.interp(np.linspace(0, len(sound) - 1, n), np.arange(len(sound)), sound)
    samples = (np.clip(sound, -1, 1) * 32767).astype(np.int16)
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        file.metadata["title"] = f"SANDBOX: made by the sandbox, not by {model}"
        if comment:
            file.metadata["comment"] = comment[:2000]
        track: Any = file.add_stream(codec, rate=rate)
        track.layout = "mono"
        track.format = form
        if extension != "wav":
            track.bit_rate = 96_000
        step = track.frame_size or 1152
        for at in range(0, len(samples), step):
            frame = av.AudioFrame.from_ndarray(samples[at : at + step][None, :], format=form, layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
            file.mux(track.encode(frame))
        file.mux(track.encode(None))
    return out.getvalue()


def decoded(data: bytes) -> Any:
    """The file's sound as mono samples at `RATE`. Raises `ValueError` when there is none to read."""
    import av
    import numpy as np

    parts: list[Any] = []
    try:
        with av.open(io.BytesIO(data), "r") as file:
            resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
            for frame in file.decode(audio=0):
                parts += [part.to_ndarray()[0] for part in resampler.resample(frame)]
    except (av.FFmpegError, IndexError) as error:
        raise ValueError("no sound in this file") from error
    return np.concatenate(parts) if parts else np.zeros(RATE // 10, dtype=np.float32)


def facts(data: bytes) -> Mapping[str, Any]:
    """What can be said of a recording without hearing it; empty when it cannot be read."""
    import av

    try:
        with av.open(io.BytesIO(data), "r") as file:
            track = file.streams.audio[0]
            length = float(file.duration or 0) / 1_000_000
            tags = {name.lower(): value for name, value in {**track.metadata, **file.metadata}.items()}
            return {
                "duration_s": round(length, 2),
                "rate": track.rate,
                "channels": track.channels,
                "codec": track.codec_context.name,
                "title": tags.get("title", ""),
                "comment": tags.get("comment", ""),
            }
    except (av.FFmpegError, IndexError, ValueError):
        return {}
