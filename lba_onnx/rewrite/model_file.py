"""Files that models are written to: a path, and where the weights go."""

import os
from dataclasses import KW_ONLY, dataclass


@dataclass(frozen=True)
class ModelFile(os.PathLike[str]):
    """A path that also says where the weights go; a plain path leaves them as they are.

    Attributes:
        path: The file.
        use_external_data_format: True: initializers of 1024 bytes and more become external data. False: everything
            goes into the one file. None: tensors stay as they are; external data in the same folder is referred to
            where it lies, external data elsewhere is copied. More initializers than fit into one file are as with True.
    """

    path: str | os.PathLike[str]
    _: KW_ONLY
    use_external_data_format: bool | None = None

    def __fspath__(self) -> str:
        """Return the path."""
        return os.fspath(self.path)

    @staticmethod
    def of(path: str | os.PathLike[str]) -> "ModelFile":
        """Return a model file as it is, and a plain path as one."""
        return path if isinstance(path, ModelFile) else ModelFile(path)
