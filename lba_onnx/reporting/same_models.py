"""Whether results that are fed in are of the models that the report is about: by the hashes that they carry.

result            model_sha256 is that of                    reference_sha256 is that of
compare, debug    the converted model                        the reference
evaluate          the converted model
cost              either: --spec prices the reference
calibration       either: a correction has changed the weights of a converted model
sweep, search     the reference, which they convert

Where no reference is given, results are held against the first that tells of one. What carries no hash passes.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from lba_onnx.errors import DataError
from lba_onnx.reporting.results import Results
from lba_onnx.rewrite.model_hash import model_hash, short_hash

_MODEL, _REFERENCE = "model", "reference"
_ROLES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "compare": {"model_sha256": (_MODEL,), "reference_sha256": (_REFERENCE,)},
    "debug": {"model_sha256": (_MODEL,), "reference_sha256": (_REFERENCE,)},
    "evaluate": {"model_sha256": (_MODEL,)},
    "cost": {"model_sha256": (_MODEL, _REFERENCE)},
    "calibration": {"model_sha256": (_MODEL, _REFERENCE)},
    "sweep": {"model_sha256": (_REFERENCE,)},
    "search": {"model_sha256": (_REFERENCE,)},
}


def check_models(results: Results, model: Path | None, reference: Path | None) -> None:
    """Refuse a result of another model.

    Args:
        results: The results.
        model: The converted model's file; None for one that is converted for the report.
        reference: The float32 model's file; None where none is given.

    Raises:
        DataError: A result tells the hash of another model.
        ModelError: A model cannot be read.
    """
    told, files = list(_told(results)), {_MODEL: model, _REFERENCE: reference}
    expected = {role: (model_hash(path), str(path)) for role, path in files.items() if told and path is not None}
    for name, roles, given in told:
        if roles == (_REFERENCE,):
            expected.setdefault(_REFERENCE, (given, f"the reference of {results.sources[name]}"))
        known = [expected[role] for role in roles if role in expected]
        if len(known) == len(roles) and given not in {sha256 for sha256, _ in known}:
            of = " or ".join(f"{whose} (SHA-256 {short_hash(sha256)})" for sha256, whose in known)
            got = f"one of another model ({short_hash(given)})"
            raise DataError(f"{results.sources[name]}: expected a result of {of}, got {got}")


def _told(results: Results) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Yield each hash that a result tells, with what it may be of."""
    for name, value in results.values.items():
        for key, roles in _ROLES.get(name, {}).items():
            given = value.get(key)
            if isinstance(given, str):
                yield name, roles, given
