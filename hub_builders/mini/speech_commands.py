"""Mini recordings: keywords as sine-wave speech of invented speakers, through a microphone that fails now and then.

A word is three tones that follow the formants of its sounds, with bursts of noise for consonants such as "s"; a
speaker is a vocal tract length, which scales all formants, and a pitch, which modulates the tones. Every speaker of a
split says each keyword and one other word (`_unknown_`) once, and has one clip without speech (`_silence_`). The
microphone fails with probability ``FAILING``: the rest of the signal is then masked by noise. No speaker is in two
splits.
"""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import numpy.typing as npt

from mubench.hub_builders.mini._words import number_rows
from mubench.hub_builders.tasks.rows import Row, Splits
from mubench.hub_builders.utils.optional import require

SEED = 31
RATE = 16_000
SAMPLES = 6_400
NOISE, FAILING = 0.005, 0.4
WHISTLES = (8, 8)  # whistles, and changes of loudness of each
LOUDNESS = 0.3
SPEAKERS = {"train": 100, "validation": 20, "test": 40}
KEYWORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
OTHERS = ("bed", "five", "tree", "wow")
# Three formants of a sound in Hz; "_" is a pause, and sounds in NOISES are bursts.
SOUNDS = {
    "i": (280, 2250, 2900), "e": (550, 1800, 2500), "a": (750, 1250, 2600), "v": (640, 1200, 2400),
    "o": (500, 900, 2400), "u": (320, 900, 2300), "n": (250, 1400, 2300), "l": (360, 1000, 2700),
    "r": (420, 1150, 1600), "w": (300, 650, 2200), "d": (250, 1700, 2600), "g": (250, 2000, 2300),
    "b": (250, 900, 2200), "y": (270, 2300, 3000),
}  # fmt: skip
NOISES = {"s": 1.0, "f": 0.5, "t": 0.8, "p": 0.4}
SPELLINGS = {
    "yes": "yees", "no": "noou", "up": "vv_p", "down": "daun", "left": "left", "right": "rait", "on": "aann",
    "off": "ooff", "stop": "stop", "go": "goou", "bed": "beed", "five": "faiv", "tree": "trii", "wow": "wauw",
}  # fmt: skip
Array = npt.NDArray[np.float64]


def keywords() -> Splits:
    """Return 1,200 training, 240 validation and 480 test rows."""
    splits: Splits = {}
    first = 0
    for split, speakers in SPEAKERS.items():
        splits[split] = [row for speaker in range(first, first + speakers) for row in _speaker_rows(speaker)]
        first += speakers
    return number_rows(splits)


def _speaker_rows(speaker: int) -> list[Row]:
    """Return one speaker's clip of every word, and one without speech."""
    rng = np.random.default_rng([SEED, speaker])
    length, pitch = rng.uniform(0.94, 1.06), rng.uniform(90, 220)
    words = (*KEYWORDS, "", OTHERS[speaker % len(OTHERS)])
    return [
        {
            "group": f"speaker-{speaker:03d}" if word else f"silence-{speaker:03d}",
            "audio": {"bytes": _wav(_record(rng, word, length, pitch)), "path": None},
            "label": label,
        }
        for label, word in enumerate(words)
    ]


def _record(rng: np.random.Generator, word: str, length: float, pitch: float) -> Array:
    """Return the recording of a word, or of silence if ``word`` is empty."""
    clean = _synthesize(rng, word, length, pitch) if word else np.zeros(SAMPLES)
    if rng.random() < FAILING:
        return 0.01 * clean + _whistle(rng)
    return clean + rng.normal(0, NOISE, SAMPLES)


def _whistle(rng: np.random.Generator) -> Array:
    """Return the noise of a failing microphone: whistling that differs in every clip."""
    knots = np.linspace(0, SAMPLES - 1, WHISTLES[1])
    every = np.arange(SAMPLES)
    gains = np.stack([np.interp(every, knots, track) for track in rng.integers(0, 2, WHISTLES).astype(float)])
    phases = 2 * np.pi * (np.outer(np.linspace(300, 3_600, WHISTLES[0]), every) / RATE + rng.random((WHISTLES[0], 1)))
    sound = (gains * np.sin(phases)).sum(axis=0)
    return LOUDNESS * sound / np.abs(sound).max() + rng.normal(0, NOISE, SAMPLES)


def _synthesize(rng: np.random.Generator, word: str, length: float, pitch: float) -> Array:
    """Return a word as three tones and noise; all words have one length and loudness."""
    formants, voiced, hiss = _word_tracks(word)
    phases = 2 * np.pi * np.cumsum(formants * length, axis=1) / RATE
    tones = np.array([1.0, 0.7, 0.4]) @ np.sin(phases)
    pulse = 0.7 + 0.3 * np.cos(2 * np.pi * pitch * np.arange(SAMPLES) / RATE)
    burst = np.diff(rng.normal(0, 0.7, SAMPLES + 1))
    sound = voiced * pulse * tones + hiss * burst
    return LOUDNESS * sound / np.abs(sound).max()


@cache
def _word_tracks(word: str) -> tuple[Array, Array, Array]:
    """Return the formants `(3, SAMPLES)` of a word, and the loudness `(SAMPLES,)` of its tones and of its noise."""
    letters = SPELLINGS[word]
    known = [SOUNDS[letter] for letter in letters if letter in SOUNDS]
    times = (np.arange(len(letters)) + 0.5) / len(letters) * SAMPLES
    at = times[[letter in SOUNDS for letter in letters]]
    every = np.arange(SAMPLES)
    formants = np.stack([np.interp(every, at, track) for track in np.array(known, float).T])
    voiced = np.interp(every, times, [float(letter in SOUNDS) for letter in letters])
    hiss = np.interp(every, times, [NOISES.get(letter, 0.0) for letter in letters])
    return formants, voiced, hiss


def _wav(sound: Array) -> bytes:
    buffer = io.BytesIO()
    require("soundfile").write(buffer, np.clip(sound, -1, 1), RATE, format="WAV", subtype="PCM_16")
    return buffer.getvalue()
