"""Silero VAD run as it is used: each window with the state that the same network has reached, not with float32's.

python -m models.silero_vad.stream --families M7E4 M5E4
"""

import argparse

import numpy as np
import onnx
from numpy.typing import NDArray

import lba_onnx
from models.silero_vad.recipe import (
    SAMPLE_RATE,
    STATE_SHAPE,
    THRESHOLD,
    load,
    read_audio,
    windows,
)


def main() -> None:
    """Print how the decisions of converted networks agree with those of float32, at 16 and at 8 kHz together."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", default=["M7E4", "M5E4"], help="what to calibrate, by max")
    model = load()
    expected = stream(onnx.load(model.model_path))
    wide, _ = lba_onnx.convert(model.model_path, "M22E7b63")
    _tell("M22E7b63", stream(wide), expected)
    for family in parser.parse_args().families:
        calibration = lba_onnx.calibrate(model.model_path, model.calibration, family=family, method="max")
        plain, _ = lba_onnx.convert(model.model_path, calibration)
        _tell(family, stream(plain), expected)
        corrected, report = lba_onnx.correct(plain, model.calibration)
        _tell(f"{family}, corrected by {report.recipe}", stream(corrected), expected)


def stream(model: onnx.ModelProto) -> NDArray[np.float32]:
    """Returns how likely each window of the recording is speech, [windows at 16 kHz, then at 8 kHz]."""
    session = lba_onnx.make_session(model)
    audio, found = read_audio(), []
    for rate, signal in ((SAMPLE_RATE, audio), (SAMPLE_RATE // 2, audio.reshape(-1, 2).mean(axis=1))):
        state = np.zeros(STATE_SHAPE, np.float32)
        for window in windows(signal, rate):
            feed = {"input": window, "state": state, "sr": np.array(rate)}
            output, state = session.run(["output", "stateN"], feed)
            found.append(output[0, 0])
    return np.array(found, np.float32)


def _tell(name: str, found: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    same = np.sum((found > THRESHOLD) == (expected > THRESHOLD))
    difference = np.abs(found - expected)
    print(f"{name}: {same} of {len(found)} windows decided alike; the probabilities differ by ", end="")
    print(f"{difference.mean():.2g} on average, by {difference.max():.2g} at most")


if __name__ == "__main__":
    main()
