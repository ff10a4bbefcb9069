"""The cells of one column of a COPY chunk: what PostgreSQL's binary format holds for each value.

A codec takes an Arrow array with at least one value that is not null. What it returns under a
null is undefined; the caller masks it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import types as arrow

Array = npt.NDArray[Any]

# PostgreSQL counts from 2000-01-01, Arrow from 1970-01-01.
_EPOCH_DAYS = 10_957
_EPOCH_US = _EPOCH_DAYS * 86_400_000_000
_DIGIT = 10_000  # NUMERIC counts in base 10,000
_DIGIT_PAIR = _DIGIT * _DIGIT
_NEGATIVE = 0x4000


@dataclass(frozen=True)
class Cells:
    """One column of a chunk. *keep* masks the payload's bytes; None: all of them count."""

    payload: Array  # one item a row (or one altogether), as wide as the widest value
    lengths: int | Array
    keep: Array | None = None


Codec = Callable[[pa.Array], Cells]


def opaque(items: Array) -> Array:
    """Return one void item a row, which numpy copies without looking inside."""
    if items.ndim > 1:
        items = np.ascontiguousarray(items).view(f"V{items.shape[1] * items.itemsize}")[:, 0]
    return items.view(f"V{items.itemsize}")


def bits(buffer: pa.Buffer, values: pa.Array) -> Array:
    """Return the bits of *buffer*, one boolean a value: Arrow packs validity and booleans alike."""
    first = values.offset // 8
    packed = np.frombuffer(buffer, np.uint8)[first : (values.offset + len(values) + 7) // 8]
    unpacked = np.unpackbits(packed, bitorder="little").view(np.bool_)
    return unpacked[values.offset - first * 8 :][: len(values)]


def _plain(values: pa.Array, dtype: str) -> Array:
    """Return the array's own memory; what stands under a null is undefined."""
    return np.frombuffer(values.buffers()[1], dtype)[values.offset :][: len(values)]


def _big_endian(numbers: Array, dtype: str) -> Cells:
    items = numbers.astype(dtype)
    return Cells(items, items.itemsize)


def bools(values: pa.Array) -> Cells:
    """Return one byte a value."""
    return Cells(bits(values.buffers()[1], values).view(np.uint8), 1)


def integers(dtype: str) -> Codec:
    """Return the codec that writes integers as big-endian *dtype*."""
    return lambda values: _big_endian(_plain(values, f"i{values.type.bit_width // 8}"), dtype)


def floats(values: pa.Array) -> Cells:
    """Return eight bytes a value."""
    return _big_endian(_plain(values, "f8"), ">f8")


def dates(values: pa.Array) -> Cells:
    """Return days since 2000-01-01."""
    return _big_endian(_plain(values, "i4") - np.int32(_EPOCH_DAYS), ">i4")


def times(values: pa.Array) -> Cells:
    """Return microseconds since 2000-01-01 in UTC."""
    return _big_endian(_plain(values, "i8") - np.int64(_EPOCH_US), ">i8")


def fixed_bytes(values: pa.Array) -> Cells:
    """Return values of one width as they stand in memory."""
    return Cells(_plain(values, f"V{values.type.byte_width}"), values.type.byte_width)


def offsets(values: pa.Array) -> Array:
    """Return where each value begins, and where the last one ends, in the array's content."""
    wide = arrow.is_large_string(values.type) or arrow.is_large_binary(values.type)
    if len(values) == 0:
        return np.zeros(1, "i8")
    ends = np.frombuffer(values.buffers()[1], "i8" if wide else "i4")
    return ends[values.offset :][: len(values) + 1]


def variable_bytes(values: pa.Array) -> Cells:
    """Return texts or bytes, padded to the longest."""
    starts = offsets(values).astype("i8")
    lengths = np.diff(starts)
    width = int(lengths.max())
    if width == 0:
        return Cells(np.empty(len(values), "V0"), 0)
    content = np.frombuffer(values.buffers()[2], np.uint8)
    columns = np.arange(width)
    # Past the end of a short value the mask hides whatever is read.
    places = np.minimum(starts[:-1, None] + columns, len(content) - 1)
    return Cells(opaque(content[places]), lengths.astype("i4"), keep=columns < lengths[:, None])


def amounts(values: pa.Array) -> Cells:
    """Return unsigned 256-bit numbers as NUMERIC."""
    raw = _plain(values, "V32").view(">u4").reshape(-1, 8).T
    words = raw.astype(np.uint64)
    used = np.full(len(values), 2, np.int8)  # 32-bit words that hold the value
    used[(words[4:6] != 0).any(axis=0)] = 4
    used[(words[:4] != 0).any(axis=0)] = 8
    widest = int(used.max())
    digits = np.zeros((_digit_count(widest), len(values)), np.uint16)
    for count in (2, 4, 8):
        rows = np.flatnonzero(used == count)
        if len(rows) == len(values):
            digits = _digits(words[-count:])
        elif len(rows):
            digits[-_digit_count(count) :, rows] = _digits(words[-count:, rows])
    return _numeric(digits, np.zeros(len(values), np.uint16))


def whole_numbers(values: pa.Array) -> Cells:
    """Return signed 64-bit numbers as NUMERIC."""
    numbers = _plain(values, f"i{values.type.bit_width // 8}").astype(np.int64)
    # Negating as unsigned is exact for the lowest number too.
    unsigned = numbers.view(np.uint64)
    size = np.where(numbers < 0, np.negative(unsigned), unsigned)
    words = np.stack([size >> np.uint64(32), size & np.uint64(0xFFFF_FFFF)])
    return _numeric(_digits(words), np.where(numbers < 0, _NEGATIVE, 0))


def _digit_count(words: int) -> int:
    pairs = -(-len(str(2 ** (32 * words) - 1)) // 8)
    return 2 * pairs


def _digits(words: Array) -> Array:
    """Return base-10,000 digits, most significant first, of 32-bit words in the same order.

    Long division by 10**8 gives two digits a pass. The leading word takes 64 bits, because only
    the words after it need room for a remainder.
    """
    count = len(words)
    left = [(words[0] << np.uint64(32)) | words[1], *words[2:]]
    digits = np.empty((_digit_count(count), words.shape[1]), np.uint16)
    for row in range(len(digits) - 2, -1, -2):
        remainder = np.zeros(words.shape[1], np.uint64)
        for i, word in enumerate(left):
            current = (remainder << np.uint64(32)) | word
            left[i] = current // np.uint64(_DIGIT_PAIR)
            remainder = current - left[i] * np.uint64(_DIGIT_PAIR)
        pair = remainder.astype(np.uint32)
        digits[row] = pair // np.uint32(_DIGIT)
        digits[row + 1] = pair - digits[row] * np.uint32(_DIGIT)
        largest = (2 ** (32 * count) - 1) // _DIGIT_PAIR ** ((len(digits) - row) // 2)
        # A quotient that has become too small for its leading words sheds them.
        while len(left) > 1 and largest < 2 ** (32 * (len(left) - 1)):
            left = left[1:]
    return digits


def _numeric(digits: Array, sign: Array) -> Cells:
    """Return NUMERIC cells without leading and trailing zero digits; a zero has no digits."""
    count, rows = digits.shape
    first = np.full(rows, count, np.int16)
    last = np.full(rows, -1, np.int16)
    for place in range(count):
        some = digits[place] != 0
        np.copyto(last, place, where=some)
        np.minimum(first, place, out=first, where=some)
    used = np.maximum(last - first + 1, 0)
    items = np.empty((rows, 4 + count), ">u2")
    items[:, 0] = used
    items[:, 1] = np.where(used == 0, 0, count - 1 - first)
    items[:, 2] = sign
    items[:, 3] = 0  # digits after the decimal point
    items[:, 4:] = digits.T
    keep = np.full((rows, 4 + count), 0x0101, np.uint16)
    for place in range(count):
        keep[:, 4 + place] *= (first <= place) & (place <= last)
    return Cells(opaque(items), 8 + 2 * used.astype(np.int32), keep.view(np.bool_))
