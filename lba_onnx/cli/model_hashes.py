"""What the JSON of a command tells of its models, by which a report knows them again."""

from pathlib import Path


def model_hashes(model: Path, reference: Path | None = None) -> dict[str, str]:
    """Return the hashes of a model, and of the reference where there is one."""
    from lba_onnx.rewrite.model_hash import model_hash

    told = {"model_sha256": model_hash(model)}
    return told if reference is None else {**told, "reference_sha256": model_hash(reference)}
