"""Sessions of CUDAExecutionProvider: what they are asked for, and that nothing falls back in silence.

onnxruntime is made to claim the provider, and runs on the CPU.
"""

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner
from small_models import images, network

import lba_onnx
from lba_onnx.calibration.methods import ZeroShot
from lba_onnx.cli import main
from lba_onnx.errors import LibraryError
from lba_onnx.session import make_session

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"
IN_FLOAT32 = (CUDA, {"use_tf32": "0"})
SAMPLES = {"x": images(6)}


class ClaimingSession(onnxruntime.InferenceSession):
    """Runs on the CPU, and says that it runs on whatever was asked for."""

    asked: list[tuple] = []  # noqa: RUF012

    def __init__(self, source, options, providers, **settings):
        type(self).asked.append((*providers, settings))
        super().__init__(source, options, providers=[CPU])

    def get_providers(self):
        names = [p if isinstance(p, str) else p[0] for p in type(self).asked[-1][:-1]]
        return [*names, CPU]


class FallenSession(ClaimingSession):
    """Says which providers it really has, as one does whose provider did not start."""

    def get_providers(self):
        return [CPU]


@pytest.fixture
def asked(monkeypatch):
    """What sessions are asked for: their providers, then their other arguments."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["TensorrtExecutionProvider", CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", ClaimingSession)
    monkeypatch.setattr(ClaimingSession, "asked", [])
    return ClaimingSession.asked


def test_float32_is_computed_in_float32(asked):
    make_session(network(), providers=[CUDA, CPU])
    assert asked == [(IN_FLOAT32, CPU, {"enable_fallback": 0})]


@pytest.mark.parametrize("options", [{}, {"use_tf32": "1"}, {"device_id": "1"}])
def test_options_of_ones_own_are_left_alone(asked, options):
    make_session(network(), providers=[(CUDA, options)])
    make_session(network(), providers=[CUDA], provider_options=[options], enable_fallback=1)
    assert asked == [
        ((CUDA, options), {"enable_fallback": 0}),
        (CUDA, {"provider_options": [options], "enable_fallback": 1}),
    ]


@pytest.mark.parametrize(("version", "first"), [("1.17.3", CUDA), ("1.18.0", IN_FLOAT32), ("2.0.0", IN_FLOAT32)])
def test_an_onnxruntime_that_does_not_know_the_option_is_not_given_it(asked, monkeypatch, version, first):
    monkeypatch.setattr(onnxruntime, "__version__", version)
    make_session(network(), providers=[CUDA])
    assert asked[0][0] == first


def test_a_provider_that_does_not_start_is_an_error(asked, monkeypatch):
    monkeypatch.setattr(onnxruntime, "InferenceSession", FallenSession)
    with pytest.raises(LibraryError, match=f"to start {CUDA}, but it goes on with {CPU}; .*lba-onnx doctor"):
        make_session(network(), providers=[CUDA, CPU])


def test_an_onnxruntime_without_the_provider_says_what_has_it():
    if CUDA in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has the provider")
    with pytest.raises(ValueError, match=f"out of .*{CPU}, got '{CUDA}'; .*onnxruntime-gpu.*LBA_ONNX_OFFLOAD=cuda"):
        make_session(network(), providers=[CUDA])
    with pytest.raises(ValueError, match="got 'TensorrtExecutionProvider'$"):
        make_session(network(), providers=["TensorrtExecutionProvider"])


ON_CUDA = lba_onnx.Execution([CUDA])


def calibrated(method):
    return lba_onnx.calibrate(network(), SAMPLES, method=method, execution=ON_CUDA)


def converted():
    return lba_onnx.convert(network(), lba_onnx.AccumulatorSpec.parse("M5E4b8"))[0]


CHAIN = {
    "calibrate_max": lambda: calibrated("max"),
    "calibrate_mse": lambda: calibrated("mse"),
    "calibrate_zero_shot": lambda: calibrated(ZeroShot(evaluations=3, layer_evaluations=2)),
    "evaluate": lambda: lba_onnx.evaluate(network(), lba_onnx.Samples(SAMPLES, np.arange(6)), execution=ON_CUDA),
    "compare": lambda: lba_onnx.compare(network(), converted(), SAMPLES, execution=ON_CUDA),
    "correct": lambda: lba_onnx.correct(converted(), SAMPLES, execution=ON_CUDA),
    "debug": lambda: lba_onnx.debug(converted(), SAMPLES, execution=ON_CUDA),
    "promote_until": lambda: lba_onnx.promote_until(converted(), SAMPLES, "sqnr>=200", execution=ON_CUDA),
    "sweep": lambda: lba_onnx.sweep(
        network(),
        SAMPLES,
        families="M5E4",
        biases=[8, "max"],
        calibration_data=SAMPLES,
        execution=ON_CUDA,
    ),
}


@pytest.mark.parametrize("name", CHAIN)
def test_every_session_gets_the_provider(asked, name):
    CHAIN[name]()
    assert asked
    assert {repr(providers) for *providers, _ in asked} == {repr([IN_FLOAT32])}


@pytest.mark.parametrize(
    "command",
    [
        ["evaluate", "--data_path"],
        ["calibrate", "-o", "biases.json", "--calibration_data_path"],
        ["convert", "-o", "converted.onnx", "--calibration_data_path"],
        ["debug", "--data_path"],
    ],
    ids=lambda words: words[0],
)
def test_commands_pass_the_provider_on(asked, monkeypatch, tmp_path, command):
    monkeypatch.chdir(tmp_path)
    onnx.save_model(converted() if command[0] == "debug" else network(), "model.onnx")
    np.savez("data.npz", label=np.arange(6), **SAMPLES)
    result = CliRunner().invoke(main, [*command, "data.npz", "-i", "model.onnx", "--provider", CUDA])
    assert result.exit_code == 0, result.output
    assert asked
    assert {repr(providers) for *providers, _ in asked} == {repr([IN_FLOAT32])}


def test_a_command_with_a_provider_that_is_not_there_ends_with_one_line(tmp_path):
    if CUDA in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has the provider")
    onnx.save_model(network(), tmp_path / "model.onnx")
    np.savez(tmp_path / "data.npz", **SAMPLES)
    command = ["evaluate", "-i", str(tmp_path / "model.onnx"), "--data_path", str(tmp_path / "data.npz"), "--json"]
    result = CliRunner().invoke(main, [*command, "--provider", CUDA])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: expected execution providers out of")
    assert result.stderr.count("\n") == 1
