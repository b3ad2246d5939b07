"""The sites of a model whose products are computed in low bit-width formats, and what swaps them in."""
