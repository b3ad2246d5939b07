"""The wheel lba-onnx-cuda, which carries the CUDA library alone."""

import shutil
import zipfile
from pathlib import Path

from lba_onnx.native.cuda import CUDA_LIBRARY_NAME
from tools import check_cuda_kernels
from tools.cuobjdump import find_cuobjdump
from tools.release.linker import write_linker
from tools.release.targets import TARGETS
from tools.release.wheel_build import build_wheel, repair


def build_cuda_wheel(source: Path, work: Path, output: Path) -> Path:
    """Build and return the wheel in the folder `output`.

    Raises:
        SystemExit: There is no nvcc or no cuobjdump, or the machine code of a kernel is not as it should be, on any
            architecture.
    """
    if shutil.which("nvcc") is None:
        raise SystemExit("expected nvcc on PATH for the wheel lba-onnx-cuda, got none")
    try:
        find_cuobjdump()  # which checks what takes half an hour to build
    except FileNotFoundError as error:
        raise SystemExit(str(error)) from None
    project = source / "cuda_wheel"
    (project / "licenses").mkdir()
    for licence in (source / "LICENSE", *(source / "licenses").iterdir()):
        shutil.copy(licence, project / "licenses")
    wheel = build_wheel(project, work, {"CMAKE_CXX_LINKER_LAUNCHER": write_linker(work)})
    repaired = repair(wheel, TARGETS["x86_64"].policy, output)
    with zipfile.ZipFile(repaired) as packed:
        library = packed.extract(f"lba_onnx_cuda/{CUDA_LIBRARY_NAME}", work)
    if check_cuda_kernels.main([library]):
        raise SystemExit(f"{repaired.name}: expected kernels as tools.check_cuda_kernels wants them")
    return repaired
