"""Which platform a shared library is for, as its own header says: ELF, Mach-O or PE.

Platforms go by the names of `platform.system()` and `platform.machine()`, in small letters: linux-x86_64, darwin-arm64,
windows-amd64.
"""

from pathlib import Path

from lba_onnx.errors import LibraryError

_PE_OFFSET = 0x3C  # where a PE file says where its header is
_ELF = {62: "linux-x86_64", 183: "linux-aarch64"}  # e_machine
_MACH_O = {0x0100_0007: "darwin-x86_64", 0x0100_000C: "darwin-arm64"}  # cputype of a 64-bit file of one architecture
_PE = {0x8664: "windows-amd64", 0xAA64: "windows-arm64"}  # Machine
_KNOWN = (*_ELF.values(), *_MACH_O.values(), *_PE.values())


def platform_of(content: bytes, path: Path) -> str:
    """Return the platform that a library is for.

    Raises:
        LibraryError: It is no library, or for another machine than those that are known.
    """
    name = None
    if content[:4] == b"\x7fELF":
        name = _ELF.get(_number(content, 18, 2))
    elif content[:4] == b"\xcf\xfa\xed\xfe":
        name = _MACH_O.get(_number(content, 4, 4))
    elif content[:2] == b"MZ":
        header = _number(content, _PE_OFFSET, 4)
        name = _PE.get(_number(content, header + 4, 2)) if content[header : header + 4] == b"PE\0\0" else None
    if name is None:
        raise LibraryError(f"{path}: expected a shared library for {', '.join(_KNOWN)}, got something else")
    return name


def _number(content: bytes, offset: int, size: int) -> int:
    return int.from_bytes(content[offset : offset + size], "little")
