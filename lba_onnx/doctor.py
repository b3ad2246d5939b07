"""Checks that everything is there and computes the right bits, and says what to do where it does not."""

import importlib.metadata
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.arithmetic import Accumulator, parse_accumulator
from lba_onnx.errors import LbaError
from lba_onnx.packages import check_recorded, find_package, wheel_tags

_PACKAGES = ("lba-onnx", "numpy", "onnx", "onnxruntime", "onnx-graphsurgeon")
_REINSTALL = "install the package again: pip install --force-reinstall --no-deps lba-onnx"
_SPECS = (
    *("M7E4b10", "M4E3b3/M4E3b4,chunk=5", "M7E4b10,chunk=none,underflow=off"),
    *("M7E4b12/M7E4b10,chunk=3x2,round=nearest", "fp16-fma"),
)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What.
        is_right: Whether it is as it should be.
        finding: What was found.
        advice: What to do; empty where all is right.
    """

    name: str
    is_right: bool
    finding: str
    advice: str = ""


@dataclass(frozen=True)
class InstallationReport:
    """The state of an installation.

    Attributes:
        checks: In the order they were made.
    """

    checks: tuple[Check, ...]

    @property
    def is_healthy(self) -> bool:
        """Whether every check is right."""
        return all(check.is_right for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object: "is_healthy" and the list "checks"."""
        return {"is_healthy": self.is_healthy, "checks": [asdict(check) for check in self.checks]}


def diagnose() -> InstallationReport:
    """Look at versions, the native library, onnxruntime, CUDA, the bits they compute, and the demo's files.

    A machine without CUDA is healthy: what is not there is not looked into.
    """
    probes: tuple[tuple[str, Callable[[], str], str], ...] = (
        ("platform", _platform, ""),
        *((package, lambda package=package: _version(package), f"pip install {package}")
          for package in _PACKAGES),
        ("wheel", _wheel, _REINSTALL),
        ("native library", _library, _REINSTALL),
        ("library of this package", _library_record, _REINSTALL),
        ("CPU path", _cpu_path, "unset LBA_ONNX_CPU_PATH, or set it to a path that this CPU has"),
        ("onnxruntime providers", _providers, "pip install --force-reinstall onnxruntime"),
        ("bits of the kernels", _check_kernels, f"{_REINSTALL}; if that does not help, report it"),
        ("bits in onnxruntime", _check_session, f"{_REINSTALL}; if that does not help, report it"),
        ("CUDA library", _cuda_library, _REINSTALL),
        ("CUDA driver and devices", _cuda_devices, "nvidia-smi tells of the driver and its devices"),
        ("bits on CUDA", _check_cuda, "if they differ, report it with the names above; else mend the driver"),
        ("demo files", _demo_files, _REINSTALL),
    )  # fmt: skip
    return InstallationReport(tuple(_probe(name, look, advice) for name, look, advice in probes))


def _probe(name: str, look: Callable[[], str], advice: str) -> Check:
    try:
        return Check(name, True, look())
    except Exception as error:  # whatever is wrong is the finding
        finding = " ".join(f"{type(error).__name__}: {error}".split())
        return Check(name, False, finding, str(error) if isinstance(error, LbaError) else advice)


def _version(package: str) -> str:
    """Return a package's version, with the name under which it is installed where that is another."""
    found = find_package(package)
    if found is None:
        raise importlib.metadata.PackageNotFoundError(package)
    name, version = found
    return version if name == package else f"{version} ({name})"


def _platform() -> str:
    names = (platform.system(), platform.machine(), " ".join(platform.libc_ver()))
    return f"Python {platform.python_version()}, {' '.join(filter(None, names))}, {os.cpu_count()} CPUs"


def _wheel() -> str:
    return ", ".join(wheel_tags("lba-onnx")) or "not told by what installed the package"


def _library() -> str:
    from lba_onnx import native

    path = native.library_path()
    return f"{native.version()}, {path}"


def _library_record() -> str:
    from lba_onnx import native

    return _record(native.library_path(), "lba-onnx")


def _record(path: Path, package: str) -> str:
    is_recorded = check_recorded(path, package)
    return f"as installed with {package}" if is_recorded else f"not one that was installed with {package}"


def _cpu_path() -> str:
    from lba_onnx import native

    forced = os.environ.get("LBA_ONNX_CPU_PATH")
    paths = f"{native.cpu_path()}; integer codes: {native.integer_path()}"
    return paths + (f" (forced by LBA_ONNX_CPU_PATH={forced})" if forced else "")


def _providers() -> str:
    import onnxruntime

    return ", ".join(onnxruntime.get_available_providers())


def _cuda_library() -> str:
    from lba_onnx.native import cuda

    path = cuda.find_cuda_library()
    if path is None:
        return "not there: the CPU library is all there is"
    record = f", {_record(path, 'lba-onnx-cuda')}" if path.parent.name == "lba_onnx_cuda" else ""
    return f"{cuda.cuda_version()}, {path}{record}"


def _cuda_devices() -> str:
    from lba_onnx.native import cuda

    if not _has_cuda_library():
        return "not looked for without a CUDA library"
    found = cuda.devices()
    if not found:
        return "no device, no driver, or one older than the library's CUDA"
    driver, runtime = (".".join(map(str, v)) for v in (found[0].driver_version, found[0].runtime_version))
    names = (
        f"{device.name} ({'.'.join(map(str, device.compute_capability))}, {device.memory_bytes / 2**30:.0f} GiB)"
        for device in found
    )
    return f"driver of CUDA {driver}, library of CUDA {runtime}; {', '.join(names)}"


def _check_cuda() -> str:
    from lba_onnx import reference
    from lba_onnx.native import cuda

    if not _has_cuda_library() or not cuda.devices():
        return "not computed without a device"
    a, b = hostile_operands()
    for text in _SPECS:
        spec = parse_accumulator(text)
        _compare(cuda.matmul_host(a, b, spec), reference.matmul(a, b, spec), text)
        _check_cuda_conv(a, b, spec, text)
    return f"the reference's, for {len(_SPECS)} specs"


def _check_cuda_conv(a: NDArray[np.float32], b: NDArray[np.float32], spec: Accumulator, text: str) -> None:
    """Compare a convolution of all channels and one of each channel alone."""
    from lba_onnx import reference
    from lba_onnx.native import ConvGeometry, cuda

    x = np.ascontiguousarray(a[:, :36]).reshape(1, 7, 6, 6)
    for group, shape in ((1, (5, 7, 3, 3)), (7, (7, 1, 3, 3))):
        w = b.reshape(-1)[: int(np.prod(shape))].reshape(shape)
        geometry = ConvGeometry((1, 1), (1, 1), (1, 1), (1, 1), group)
        expected = reference.conv(x, w, spec, pads=(1, 1, 1, 1), group=group)
        _compare(cuda.conv_host(x, w, spec, geometry, expected.shape), expected, text)


def _has_cuda_library() -> bool:
    """Return whether there is one that loads; where it does not, the check of the library says why."""
    from lba_onnx.native import cuda

    try:
        return cuda.find_cuda_library() is not None and bool(cuda.cuda_version())
    except LbaError:
        return False


def _demo_files() -> str:
    from lba_onnx.demo import demo_data_path

    return str(demo_data_path())


def hostile_operands(seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return matrices [7, 37] and [37, 11] that overflow, underflow, cancel, and hold subnormals, NaN and infinity."""
    random = np.random.default_rng(seed)
    exponents = random.integers(-12, 9, (2, 37, 11)).astype(np.float32)
    a, b = (random.standard_normal((2, 37, 11)).astype(np.float32) * np.exp2(exponents)).astype(np.float32)
    a = np.ascontiguousarray(a.T[:7])
    a[1, ::2], b[::2, 1], a[2] = -a[1, 1::2][:1], 0.0, np.float32(1e-41)
    a[3, 5], a[4, 6] = np.nan, np.inf
    return a, b


def _check_kernels() -> str:
    from lba_onnx import reference
    from lba_onnx.kernels import matmul

    a, b = hostile_operands()
    for text in _SPECS:
        spec = parse_accumulator(text)
        _compare(matmul(a, b, spec), reference.matmul(a, b, spec), text)
    return f"the reference's, for {len(_SPECS)} specs"


def _check_session() -> str:
    from lba_onnx import reference
    from lba_onnx.data.execution import run_session
    from lba_onnx.session import make_session

    a, b = hostile_operands()
    for text in _SPECS:
        spec = parse_accumulator(text)
        session = make_session(_matmul_model(spec))
        _compare(run_session(session, None, {"a": a, "b": b})[0], reference.matmul(a, b, spec), text)
    return f"the reference's, for {len(_SPECS)} specs"


def _matmul_model(spec: Accumulator) -> bytes:
    from onnx import TensorProto, helper

    from lba_onnx import operators

    a, b, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, None]) for name in "aby")
    node = helper.make_node("LbaMatMul", ["a", "b"], ["y"], "matmul", domain=operators.DOMAIN, **spec.to_attributes())
    operator_sets = [helper.make_opsetid("", 17), helper.make_opsetid(operators.DOMAIN, operators.VERSION)]
    graph = helper.make_graph([node], "self_check", [a, b], [y])
    return bytes(helper.make_model(graph, opset_imports=operator_sets, ir_version=8).SerializeToString())


def _compare(got: NDArray[np.float32], expected: NDArray[np.float32], spec: str) -> None:
    if not np.array_equal(got, expected, equal_nan=True):
        different = int((~((got == expected) | (np.isnan(got) & np.isnan(expected)))).sum())
        raise AssertionError(f"{different} of {expected.size} values differ from the reference's for {spec}")
