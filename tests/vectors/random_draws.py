"""The random integers of stochastic rounding, in Python integers, as docs/numerics.md describes them."""

WORD = 2**32


def mix(value: int) -> int:
    """Return a word each of whose bits depends on all bits of a word."""
    value ^= value >> 16
    value = value * 0x7FEB352D % WORD
    value ^= value >> 15
    value = value * 0x846CA68B % WORD
    return value ^ value >> 16


def mix_long(key: int, number: int) -> int:
    """Return a word that depends on a key and on a number of 64 bits, its low half first."""
    return mix(mix(key ^ number % WORD) ^ number // WORD)


def random_draw(seed: int, place: tuple[int, int], stream: int, step: int, random_bits: int) -> int:
    """Return the integer of so many bits that one rounding adds.

    Args:
        seed: Of 64 bits.
        place: Row and column of the output.
        stream: 0 for a product; for a sum 1 in an innermost group, and one more for each level further out.
        step: The first product that belongs to what is rounded, or added.
        random_bits: Their number.
    """
    key = mix((mix_long(0, seed) + 0x9E3779B9 * (stream + 1)) % WORD)
    opposite = WORD - 1 - key
    draws_in_a_word = 32 // random_bits
    group, position = divmod(step, draws_in_a_word)
    row, column = place
    word = mix(mix((mix_long(key, row) + group) % WORD) ^ mix((mix_long(opposite, column) + group) % WORD))
    return word // 2 ** (random_bits * position) % 2**random_bits
