"""ANNalog's network as its state dict names it: an encoder and a decoder of BART's kind, each layer normalized behind.

Of BART's it lacks the norm behind the embedding; it has ReLU between its two linear layers, and positions that are
learned.
"""

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

HEADS = 8


class Attention(nn.Module):
    """Attention of several heads with all four projections."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc_q, self.fc_k, self.fc_v, self.fc_o = (nn.Linear(width, width) for _ in range(4))

    def forward(self, queries: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns [batch, queries, width]; the mask is added to the scores."""
        q, k, v = (_split(fc(x)) for fc, x in ((self.fc_q, queries), (self.fc_k, memory), (self.fc_v, memory)))
        scores = q @ k.transpose(2, 3) / math.sqrt(self.fc_q.out_features // HEADS)
        shares = torch.softmax(scores if mask is None else scores + mask, dim=3)
        return self.fc_o((shares @ v).transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Two linear layers with ReLU between them."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc_1, self.fc_2 = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """Returns [batch, tokens, width]."""
        return self.fc_2(torch.relu(self.fc_1(x)))


class Layer(nn.Module):
    """A layer of the encoder, or, with attention to the encoder's output, of the decoder."""

    def __init__(self, width: int, inner: int, looks_at_source: bool) -> None:
        super().__init__()
        self.self_attention, self.self_attn_layer_norm = Attention(width), nn.LayerNorm(width)
        if looks_at_source:
            self.encoder_attention, self.enc_attn_layer_norm = Attention(width), nn.LayerNorm(width)
        self.positionwise_feedforward, self.ff_layer_norm = FeedForward(width, inner), nn.LayerNorm(width)

    def forward(self, x: Tensor, source: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Returns [batch, tokens, width]."""
        x = self.self_attn_layer_norm(x + self.self_attention(x, x, mask))
        if source is not None:
            x = self.enc_attn_layer_norm(x + self.encoder_attention(x, source))
        return self.ff_layer_norm(x + self.positionwise_feedforward(x))


class Stack(nn.Module):
    """Embeddings and layers."""

    def __init__(self, tokens: int, positions: int, width: int, inner: int, layers: int, is_decoder: bool) -> None:
        super().__init__()
        self.tok_embedding, self.pos_embedding = nn.Embedding(tokens, width), nn.Embedding(positions, width)
        self.layers = nn.ModuleList(Layer(width, inner, is_decoder) for _ in range(layers))
        if is_decoder:
            self.fc_out = nn.Linear(width, tokens)

    def forward(self, ids: Tensor, source: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Returns [batch, tokens, width]."""
        x = self.tok_embedding(ids) * math.sqrt(self.tok_embedding.embedding_dim)
        x = x + self.pos_embedding(torch.arange(ids.shape[1]))
        for layer in self.layers:
            x = layer(x, source, mask)
        return x


class Network(nn.Module):
    """source [batch, tokens], target [batch, tokens] -> scores of the token that follows each of the target."""

    def __init__(self, state: Mapping[str, NDArray[np.float32]]) -> None:
        super().__init__()
        tokens, width = state["encoder.tok_embedding.weight"].shape
        positions = len(state["encoder.pos_embedding.weight"])
        inner = len(state["encoder.layers.0.positionwise_feedforward.fc_1.weight"])
        layers = sum(name.startswith("encoder.") and name.endswith("fc_1.weight") for name in state)
        sizes = (tokens, positions, width, inner, layers)
        self.encoder, self.decoder = Stack(*sizes, is_decoder=False), Stack(*sizes, is_decoder=True)
        self.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Returns [batch, tokens of the target, kinds of tokens]."""
        behind = torch.full((target.shape[1], target.shape[1]), -1e10).triu(1)
        x: Tensor = self.decoder.fc_out(self.decoder(target, self.encoder(source), behind))
        return x


def _split(x: Tensor) -> Tensor:
    """Returns [batch, heads, tokens, width of a head]."""
    return x.unflatten(2, (HEADS, x.shape[2] // HEADS)).transpose(1, 2)
