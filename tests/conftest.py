import pytest

from lba_onnx import native


@pytest.fixture(params=native.CPU_PATHS)
def forced_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Forces each CPU path in turn; skips the ones that this CPU lacks."""
    monkeypatch.setenv("LBA_ONNX_CPU_PATH", request.param)
    try:
        native.cpu_path()
    except ValueError as error:
        pytest.skip(str(error))
    return str(request.param)
