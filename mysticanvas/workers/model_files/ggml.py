"""How ggml stores numbers: in blocks, each so many elements and so many bytes.

The sizes are those of `ggml_type_size` and `ggml_blck_size` in ggml, by the numbers that a GGUF
file has for its types; the gaps are types that ggml has removed.
"""

from __future__ import annotations

from typing import NamedTuple


class Type(NamedTuple):
    """A type of tensor elements."""

    name: str
    block: int
    """Elements in a block; a row is a whole number of blocks."""
    bytes: int
    """Bytes of a block."""

    def row_bytes(self, elements: int) -> int:
        """Bytes of a row with so many elements, which must be whole blocks."""
        return elements // self.block * self.bytes


TYPES: dict[int, Type] = {
    0: Type("f32", 1, 4),
    1: Type("f16", 1, 2),
    2: Type("q4_0", 32, 18),
    3: Type("q4_1", 32, 20),
    6: Type("q5_0", 32, 22),
    7: Type("q5_1", 32, 24),
    8: Type("q8_0", 32, 34),
    9: Type("q8_1", 32, 36),
    10: Type("q2_K", 256, 84),
    11: Type("q3_K", 256, 110),
    12: Type("q4_K", 256, 144),
    13: Type("q5_K", 256, 176),
    14: Type("q6_K", 256, 210),
    15: Type("q8_K", 256, 292),
    16: Type("iq2_xxs", 256, 66),
    17: Type("iq2_xs", 256, 74),
    18: Type("iq3_xxs", 256, 98),
    19: Type("iq1_s", 256, 50),
    20: Type("iq4_nl", 32, 18),
    21: Type("iq3_s", 256, 110),
    22: Type("iq2_s", 256, 82),
    23: Type("iq4_xs", 256, 136),
    24: Type("i8", 1, 1),
    25: Type("i16", 1, 2),
    26: Type("i32", 1, 4),
    27: Type("i64", 1, 8),
    28: Type("f64", 1, 8),
    29: Type("iq1_m", 256, 56),
    30: Type("bf16", 1, 2),
    34: Type("tq1_0", 256, 54),
    35: Type("tq2_0", 256, 66),
    39: Type("mxfp4", 32, 17),
    40: Type("nvfp4", 64, 36),
    41: Type("q1_0", 128, 18),
    42: Type("q2_0", 64, 18),
}
"""The types by their numbers."""
