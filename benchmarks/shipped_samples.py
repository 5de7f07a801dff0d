"""Inputs of the shipped models as their packages prepare them, made from a seed. All may raise NotFetched."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks import shipped_pictures as pictures
from benchmarks import shipped_signals as signals
from benchmarks.shipped_packages import MAGIKA, NAMES, NUDENET, OCR, SILERO, WAKE_WORDS, unpacked
from squeeze import runtimes

Samples = dict[str, NDArray[np.generic]]  # input -> [n, ...]
Random = np.random.Generator
Scale = tuple[object, object]  # mean and deviation, of all colours or of each
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = 0.5, 0.5
SPEECH_RATE = 16_000
PITCH_RATE, PITCH_SAMPLES = 22_050, 43_844
NAMES_FOLDER = "arabic_name_romanizer/resources"


def drawn(
    name: str, make: Callable[[Random], NDArray[np.float32]]
) -> Callable[[Random, int], Samples]:
    return lambda rng, n: {name: np.stack([make(rng) for _ in range(n)])}


def text_page(rng: Random, height: int, width: int, scale: Scale) -> NDArray[np.float32]:
    return pictures.planes(pictures.page(rng, height, width), *scale)


def text_line(rng: Random, width: int) -> NDArray[np.float32]:
    return pictures.planes(pictures.line(rng, 48, width), *HALF)


def text_line_turned(rng: Random) -> NDArray[np.float32]:
    strip = pictures.line(rng, 48, 192, words=2)
    return pictures.planes(strip[::-1, ::-1] if rng.random() < 0.5 else strip, *HALF)


def page_turned(rng: Random) -> NDArray[np.float32]:
    page = np.rot90(pictures.page(rng, 224, 224), int(rng.integers(0, 4)))
    return pictures.planes(page, *IMAGENET)


def captcha_grey(rng: Random) -> NDArray[np.float32]:
    picture = pictures.captcha(rng, 64, 160)
    return (picture @ np.asarray([0.299, 0.587, 0.114]) / 255).astype(np.float32)[None]


def captcha_blue_first(rng: Random) -> NDArray[np.float32]:
    picture = pictures.captcha(rng, 60, 160)[:, :, ::-1]
    return np.ascontiguousarray(picture.transpose(2, 0, 1), np.float32)


def letters_on_scene(rng: Random) -> NDArray[np.float32]:
    """Blue first, 0..255, as the package's detector takes them: letters that were put over a photograph."""
    picture = pictures.scene(rng, 416, 416).copy()
    for _ in range(int(rng.integers(2, 6))):
        high, wide = int(rng.integers(40, 90)), int(rng.integers(40, 100))
        top, left = int(rng.integers(0, 416 - high)), int(rng.integers(0, 416 - wide))
        picture[top : top + high, left : left + wide] = pictures.captcha(rng, high, wide)
    return np.ascontiguousarray(picture[:, :, ::-1].transpose(2, 0, 1), np.float32)


def files(rng: Random, n: int) -> Samples:
    sources = [unpacked(p) for p in (*pictures.SOURCES, OCR, NUDENET, MAGIKA, SILERO, WAKE_WORDS)]
    contents = signals.files_on_disk(rng, sources, n)
    return {"bytes": np.stack([signals.ends_of_file(c) for c in contents])}


def speech_steps(rng: Random, n: int, *, sr: bool) -> Samples:
    """Steps out of the middle of utterances, each with the state that the float model had there."""
    session = runtimes.session(unpacked(SILERO) / "silero_vad/data/silero_vad_16k_op15.onnx")
    inputs, states = [], []
    while len(inputs) < n:
        wave = signals.speech(rng, 3.0, SPEECH_RATE)
        state, context = np.zeros((2, 1, 128), np.float32), np.zeros(64, np.float32)
        wanted = set(rng.choice(len(wave) // 512, 8, replace=False).tolist())
        for step in range(len(wave) // 512):
            x = np.concatenate([context, wave[512 * step : 512 * (step + 1)]])
            if step in wanted:
                inputs.append(x)
                states.append(state[:, 0])
            feed = {"input": x[None], "state": state, "sr": np.asarray(SPEECH_RATE, np.int64)}
            _, state = session.run(None, feed)
            context = x[-64:]
    found: Samples = {"input": np.stack(inputs[:n]), "state": np.stack(states[:n])}
    return found | ({"sr": np.full(n, SPEECH_RATE, np.int64)} if sr else {})


def wake_word_windows(rng: Random, n: int) -> NDArray[np.float32]:
    """[n, 76, 32, 1]: the package's own mel spectrogram of speech, as its embedding takes it."""
    session = runtimes.session(
        unpacked(WAKE_WORDS) / "openwakeword/resources/models/melspectrogram.onnx"
    )
    windows = []
    while len(windows) < n:
        wave = signals.speech(rng, 2.5, SPEECH_RATE) * 32767
        (mels,) = session.run(None, {"input": wave[None].astype(np.float32)})
        mels = np.squeeze(mels) / 10 + 2
        windows += [mels[i : i + 76, :, None] for i in range(0, len(mels) - 76, 8)]
    return np.stack(windows[:n]).astype(np.float32)


def wake_words(rng: Random, n: int, *, name: str, steps: int) -> Samples:
    """[n, steps, 96]: embeddings of consecutive windows."""
    session = runtimes.session(
        unpacked(WAKE_WORDS) / "openwakeword/resources/models/embedding_model.onnx"
    )
    rows = session.run(None, {"input_1": wake_word_windows(rng, n + steps)})[0].reshape(-1, 96)
    return {name: np.stack([rows[i : i + steps] for i in range(n)])}


def music(rng: Random, n: int) -> Samples:
    waves = [signals.music(rng, PITCH_SAMPLES, PITCH_RATE)[:, None] for _ in range(n)]
    return {"serving_default_input_2:0": np.stack(waves)}


def brain_waves(rng: Random, n: int) -> Samples:
    return {"x": np.stack([signals.brain_wave_spectrogram(rng) for _ in range(n)])}


def arabic_letters(rng: Random, n: int) -> Samples:
    """Token numbers of made-up names: a country, a role, letters, the end, padding; and where there is no padding."""
    tokens = _tokens()
    letters = [i for i, t in enumerate(tokens) if len(t) == 1 and "\u0621" <= t <= "\u064a"]
    countries = [i for i, t in enumerate(tokens) if len(t) == 4 and t.startswith("<")]
    roles = [i for i, t in enumerate(tokens) if t.startswith("<ROLE_")]
    ids = np.zeros((n, 16), np.int64)
    for row in ids:
        spelt = rng.choice(letters, int(rng.integers(3, 12)))
        row[:2] = rng.choice(countries), rng.choice(roles)
        row[2 : 2 + len(spelt)] = spelt
        row[2 + len(spelt)] = tokens.index("<EOS>")
    return {"src": ids, "src_mask": ids != 0}


def romanising(rng: Random, n: int) -> Samples:
    """What the decoder gets while it spells a name: a prefix of six letters at random, and the encoder's answers."""
    tokens = _tokens()
    latin = [i for i, t in enumerate(tokens) if len(t) == 1 and t.isascii() and t.isalpha()]
    source = arabic_letters(rng, n)
    memory, mask, hidden = runtimes.session(unpacked(NAMES) / NAMES_FOLDER / "encoder.onnx").run(
        None, source
    )
    prefix = rng.choice(latin, (n, 6)).astype(np.int64)
    prefix[:, 0] = tokens.index("<BOS>")
    return {"prefix": prefix, "memory": memory, "src_mask": mask, "hidden": hidden}


def _tokens() -> list[str]:
    path = unpacked(NAMES) / NAMES_FOLDER / "vocab.json"
    return list(json.loads(path.read_text(encoding="utf-8"))["tokens"])
