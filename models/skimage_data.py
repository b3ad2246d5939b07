"""The sample images, and other files, that scikit-image's wheel carries."""

from pathlib import Path

from models.fetch import BuiltFor, fetch_all

PACKAGE = ("scikit-image", "0.24.0", "fa27b3a0dbad807b966b8db2d78da734cb812ca4787f7fbb143764800ce2fa9c")
WHEEL = BuiltFor("3.11", "manylinux2014_x86_64")


def fetch_skimage_data(name: str) -> Path:
    """Returns the path of a file in scikit-image's folder "data", such as "lfw_subset.npy", fetched if need be."""
    return fetch_skimage_files(f"data/{name}")[0]


def fetch_skimage_files(pattern: str) -> list[Path]:
    """Returns the paths of all files of scikit-image that match a shell pattern, such as "data/*.png", sorted."""
    return fetch_all(*PACKAGE, f"skimage/{pattern}", built_for=WHEEL)
