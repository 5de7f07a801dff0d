"""Sounds, brain waves and files for the shipped models that take no pictures. Everything is from a seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import signal

Random = np.random.Generator
Wave = NDArray[np.float32]
# First three formants of some vowels, in hertz.
VOWELS = (
    (730, 1090, 2440),
    (270, 2290, 3010),
    (300, 870, 2240),
    (530, 1840, 2480),
    (570, 840, 2410),
)


def speech(rng: Random, seconds: float, rate: int) -> Wave:
    """Voiced syllables (pulses through formants), hisses and pauses over quiet noise; -1..1, [samples]."""
    total = int(seconds * rate)
    wave = rng.normal(0, 0.003, total)
    at = int(rng.integers(0, rate // 3))
    while at < total:
        n = int(rate * rng.uniform(0.08, 0.3))
        made = _hiss(rng, n, rate) if rng.random() < 0.2 else _syllable(rng, n, rate)
        made = made[: total - at]
        wave[at : at + len(made)] += made * rng.uniform(0.1, 0.6)
        at += n + (int(rate * rng.uniform(0.2, 0.9)) if rng.random() < 0.25 else 0)
    return np.clip(wave, -1, 1).astype(np.float32)


def music(rng: Random, samples: int, rate: int) -> Wave:
    """Notes of a few harmonics that begin and fade, one to three at a time. [samples]"""
    wave = rng.normal(0, 0.001, samples)
    for _ in range(int(rng.integers(3, 10))):
        start = int(rng.integers(0, samples - rate // 8))
        t = np.arange(min(samples - start, int(rate * rng.uniform(0.2, 1.2)))) / rate
        hertz = 440 * 2 ** ((int(rng.integers(40, 80)) - 69) / 12)
        note = sum(np.sin(2 * np.pi * hertz * k * t) / k**1.3 for k in range(1, 7))
        wave[start : start + len(t)] += 0.2 * note * np.exp(-t * rng.uniform(1, 6))
    return np.clip(wave, -1, 1).astype(np.float32)


def brain_wave_spectrogram(rng: Random, seconds: int = 60, rate: int = 200) -> Wave:
    """[100, times]: power of 1 Hz bins each half second, each bin to mean 0 and deviation 1 over time.

    The signal is noise that falls with frequency, with rhythms and bursts of spikes now and then.
    """
    n = seconds * rate
    t = np.arange(n) / rate
    wave = signal.lfilter([1], [1, -0.97], rng.normal(0, 1, n))
    for _ in range(int(rng.integers(1, 5))):
        centre, width = rng.uniform(0, seconds), rng.uniform(1, 8)
        gate = np.exp(-(((t - centre) / width) ** 2))
        hertz, size = rng.uniform(2, 14), rng.uniform(3, 30)
        shape = signal.sawtooth if rng.random() < 0.5 else np.sin
        wave = wave + size * gate * shape(2 * np.pi * hertz * t)
    wave = (wave - wave.mean()) / wave.std()
    _, _, power = signal.spectrogram(wave, rate, nperseg=rate, noverlap=rate // 2)
    power = power[:100]
    return ((power - power.mean(1, keepdims=True)) / power.std(1, keepdims=True)).astype(np.float32)


def files_on_disk(rng: Random, folders: list[Path], count: int) -> list[bytes]:
    """Contents of `count` files of as many kinds as there are, in random order."""
    kinds: dict[str, list[Path]] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and 64 <= path.stat().st_size <= 4_000_000:
                kinds.setdefault(path.suffix or path.name, []).append(path)
    chosen: list[Path] = []
    while len(chosen) < count and kinds:
        for kind in sorted(kinds):
            if kinds[kind]:
                chosen.append(kinds[kind].pop(int(rng.integers(0, len(kinds[kind])))))
            else:
                del kinds[kind]
                break
    order = rng.permutation(len(chosen))[:count]
    return [chosen[i].read_bytes() for i in order]


def ends_of_file(content: bytes, size: int = 1024, padding: int = 256) -> NDArray[np.int32]:
    """[2 * size]: the first and the last bytes without white space around, padded where there are fewer."""
    first, last = content[:4096].lstrip()[:size], content[-4096:].rstrip()[-size:]
    out = np.full(2 * size, padding, np.int32)
    out[: len(first)] = np.frombuffer(first, np.uint8)
    out[2 * size - len(last) :] = np.frombuffer(last, np.uint8)
    return out


def _syllable(rng: Random, n: int, rate: int) -> NDArray[np.float64]:
    pitch = rng.uniform(90, 240) * np.linspace(1, rng.uniform(0.8, 1.2), n)
    pulses = (np.diff(np.floor(np.cumsum(pitch) / rate), prepend=0) > 0).astype(float)
    wave = pulses + rng.normal(0, 0.01, n)
    for hertz in VOWELS[int(rng.integers(0, len(VOWELS)))]:
        radius = np.exp(-np.pi * 80 / rate)
        angle = 2 * np.pi * hertz * rng.uniform(0.93, 1.07) / rate
        wave = signal.lfilter([1 - radius], [1, -2 * radius * np.cos(angle), radius**2], wave)
    return np.asarray(wave / max(1e-9, np.abs(wave).max()) * np.hanning(n))


def _hiss(rng: Random, n: int, rate: int) -> NDArray[np.float64]:
    coloured = signal.lfilter([1, -0.95], [1], rng.normal(0, 1, n))
    return np.asarray(0.3 * coloured / np.abs(coloured).max() * np.hanning(n))
