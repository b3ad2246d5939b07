"""Silero VAD as an entry of the zoo: the ONNX file of its package, and the sample recording of pyannote.audio.

The network goes through the audio in windows of 32 ms and keeps a state. Here each window is a sample of its own: its
state is the one that the float32 network reached before it, so that converted models are compared on equal inputs. One
branch of the network is for 16 kHz, the other for 8 kHz; both are fed.
"""

import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.session import make_session
from models.fetch import fetch
from models.zoo import Metric, ZooModel, distance

MODEL = (
    "silero-vad",
    "6.2.3",
    "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
    "silero_vad/data/silero_vad.onnx",
)
RECORDING = ("pyannote.audio", "3.3.2", "23e0dcedda920cb2e154e146bcd9663289ee7942d0e012663dad76f2e571ebeb")
FOLDER = "pyannote/audio/sample"
SAMPLE_RATE = 16000
WINDOWS_PER_SECOND = 31.25
CONTEXT_SHARE = 8  # a window is preceded by the last eighth of the one before
STATE_SHAPE = (2, 1, 128)
THRESHOLD = 0.5
CALIBRATION_EVERY = 4  # seconds: the last one of so many is for calibration

Feed = dict[str, NDArray[Any]]


def load() -> ZooModel:
    """Returns the network with every fourth second to calibrate on and the others, labelled, to test with."""
    model_path = fetch(*MODEL)
    audio, speech = read_audio(), read_speech_intervals()
    calibration: list[Feed] = []
    test: list[Feed] = []
    for rate, signal in ((SAMPLE_RATE, audio), (SAMPLE_RATE // 2, audio.reshape(-1, 2).mean(axis=1))):
        for number, feed in enumerate(make_feeds(model_path, signal, rate)):
            seconds = (number + 0.5) / WINDOWS_PER_SECOND
            if int(seconds) % CALIBRATION_EVERY == CALIBRATION_EVERY - 1:
                calibration.append(feed)
            else:
                is_speech = any(start <= seconds < end for start, end in speech)
                test.append({**feed, "label": np.array([is_speech], dtype=np.int64)})
    return ZooModel(
        name="silero_vad",
        model_path=model_path,
        calibration=calibration,
        test=test,
        metric=Metric("correct", is_right),
        likeness=distance("output", 0, "speech probability"),
    )


def read_audio() -> NDArray[np.float32]:
    """Returns 30 seconds of a conversation at 16 kHz, from -1 to 1, [480000]."""
    with wave.open(str(fetch(*RECORDING, f"{FOLDER}/sample.wav"))) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)
    return pcm.astype(np.float32) / np.float32(32768)


def read_speech_intervals() -> list[tuple[float, float]]:
    """Returns from when to when, in seconds, somebody speaks in the recording; turns may overlap.

    The annotation has a line of RTTM per turn; its fourth and fifth words are start and length.
    """
    lines = fetch(*RECORDING, f"{FOLDER}/sample.rttm").read_text().splitlines()
    turns = [(float(words[3]), float(words[4])) for words in (line.split() for line in lines)]
    return [(start, start + length) for start, length in turns]


def make_feeds(model_path: Path, signal: NDArray[np.float32], rate: int) -> Iterator[Feed]:
    """Yields the network's inputs window after window, with the float32 network's states."""
    session = make_session(model_path)
    state = np.zeros(STATE_SHAPE, np.float32)
    for window in windows(signal, rate):
        feed = {"input": window, "state": state, "sr": np.array(rate, dtype=np.int64)}
        yield feed
        (state,) = session.run(["stateN"], feed)


def windows(signal: NDArray[np.float32], rate: int) -> Iterator[NDArray[np.float32]]:
    """Yields the windows of a signal, each with the end of the one before in front of it, [1, samples]."""
    size = int(rate / WINDOWS_PER_SECOND)
    padded = np.concatenate([np.zeros(size // CONTEXT_SHARE, np.float32), signal.astype(np.float32)])
    for start in range(0, len(signal) - size + 1, size):
        yield padded[np.newaxis, start : start + size // CONTEXT_SHARE + size]


def is_right(outputs: Feed, labels: NDArray[Any]) -> NDArray[np.float64]:
    """Returns 1 for each window that is judged as labelled, else 0, [windows]."""
    return ((outputs["output"][:, 0] > THRESHOLD) == (labels == 1)).astype(np.float64)
