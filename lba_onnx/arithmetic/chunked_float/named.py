"""Accumulators that people know by a name: short for the text of one, whose options may follow as they do there.

    fp16-fma             M10E5b15,chunk=none,round=nearest,product=exact,range=infinity,subnormals=keep
    fp16-fma,chunk=64    the same, in chunks

Sources: IEEE 754 for the FMA chains; Wang et al. (NeurIPS 2018) and Sun et al. (HFP8, NeurIPS 2019) for sums with 6
exponent and 9 mantissa bits, rounded to nearest, in chunks of 64; Ben Ali, Filip and Sentieys (DATE 2024) for FP12-SR,
whose sums with 6 exponent and 5 mantissa bits are rounded stochastically; Agrawal et al. (DLFloat, ARITH 2019) for
DLFloat16, whose magnitudes that round to 2^33 - 2^23 or more are NaN, and those below 2^-31 + 2^-40 zero. Where a paper
leaves something open, here formats have the bias of IEEE 754 and saturate, and what is below their smallest value
becomes 0.
"""

import re
from dataclasses import replace

from lba_onnx.arithmetic.grammar import Part, SpecText, read_text

_IEEE = "chunk=none,round=nearest,range=infinity,subnormals=keep"

NAMED = {
    "fp32-fma": f"M23E8b127,{_IEEE},product=exact",
    "fp16-fma": f"M10E5b15,{_IEEE},product=exact",
    "bf16-fma": f"M7E8b127,{_IEEE},product=exact",
    "fp16-mul-add": f"M10E5b15/M10E5b15,{_IEEE}",
    "wang2018": "M9E6b31,chunk=64,round=nearest,product=exact",
    "hfp8": "M9E6b31,chunk=64,round=nearest,product=exact",
    "dlfloat16": "M9E6b31,chunk=none,round=nearest-away,product=exact,codes=dlfloat",
    "fp12-sr": "M5E6b31,chunk=none,round=stochastic8,product=exact",
}
"""Names to texts; `fp12-sr<r>` draws r random bits."""

OPERANDS = {
    "fp32-fma": "float32",
    "fp16-fma": "float16",
    "bf16-fma": "bfloat16",
    "fp16-mul-add": "float16",
    "wang2018": "float8e5m2",
    "dlfloat16": "M9E6",
}
"""Names to the formats of what the source multiplies: an instruction its own type, Wang et al. their float8.

`hfp8` is the accumulator of `wang2018`, whose float8 it has in backward passes; forward ones have float8e4m3. Of
`fp12-sr` the source multiplies several.
"""

_FP12_SR = re.compile(r"fp12-sr(\d{1,2})", re.ASCII)


def is_named(text: SpecText) -> bool:
    """Tell whether a text begins with a name."""
    return text.head.text in NAMED or _FP12_SR.fullmatch(text.head.text) is not None


def without_name(text: SpecText) -> SpecText:
    """Return a text with what its name stands for in place of it, which stands where the name does; else itself."""
    if not is_named(text):
        return text
    name, said = text.head.text, {option.key for option in text.options}
    bits = _FP12_SR.fullmatch(name)
    meaning = read_text(NAMED["fp12-sr"].replace("stochastic8", f"stochastic{bits[1]}") if bits else NAMED[name])
    defaults = tuple(
        replace(option, part=_in_place(option.part, text)) for option in meaning.options if option.key not in said
    )
    return replace(
        text,
        head=_in_place(meaning.head, text),
        levels=tuple(_in_place(level, text) for level in meaning.levels),
        options=(*text.options, *defaults),
    )


def _in_place(part: Part, text: SpecText) -> Part:
    return replace(part, start=text.head.start)
