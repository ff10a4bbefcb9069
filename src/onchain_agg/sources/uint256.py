"""Arithmetic on columns of 256-bit unsigned integers, 32 big-endian bytes a row, exact."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from onchain_agg.sources.evm_columns import Bytes2D, Int64s

# Eight limbs of 32 bits, the lowest last; a product of two fits 64 bits.
_Limbs = npt.NDArray[np.uint64]
_LIMB = np.uint64(32)
_MASK = np.uint64(2**32 - 1)


def total(columns: Sequence[Bytes2D]) -> tuple[Bytes2D, npt.NDArray[np.bool_]]:
    """Return the sum of *columns*, row by row, modulo 2**256, and which rows exceed that."""
    limbs = np.zeros((len(columns[0]), 8), np.uint64)
    for column in columns:
        limbs += _limbs(column)
    return _carried(limbs)


def times(values: Bytes2D, factor: Int64s) -> tuple[Bytes2D, npt.NDArray[np.bool_]]:
    """Return each value times its factor of less than 2**31, modulo 2**256, and which exceed."""
    return _carried(_limbs(values) * factor.astype(np.uint64)[:, None])


def divided(values: Bytes2D, divisor: Int64s) -> tuple[Bytes2D, Int64s]:
    """Return each value by its divisor of 1 to 2**31 - 1, rounded down, and the remainder."""
    limbs = _limbs(values)
    by = divisor.astype(np.uint64)
    rest = np.zeros(len(limbs), np.uint64)
    for place in range(8):
        rest = (rest << _LIMB) | limbs[:, place]
        limbs[:, place] = rest // by
        rest %= by
    return _bytes(limbs), rest.astype(np.int64)


def small(values: Int64s) -> Bytes2D:
    """Return integers from 0 to 2**63 - 1 as 32 bytes."""
    rows = np.zeros((len(values), 32), np.uint8)
    rows[:, 24:] = values.astype(">i8").reshape(-1, 1).view(np.uint8)
    return rows


def shares(values: Bytes2D, parts: Int64s) -> tuple[Bytes2D, Int64s]:
    """Return every value split into that many equal parts, and each part's place in its value.

    The parts of a value stand together and add up to it: what is left over goes to the first.
    """
    each, rest = divided(values, parts)
    place = np.arange(int(parts.sum())) - np.repeat(np.cumsum(parts) - parts, parts)
    first = np.where(place == 0, np.repeat(rest, parts), 0)
    whole, _ = total([np.repeat(each, parts, axis=0), small(first)])
    return whole, place


def _limbs(values: Bytes2D) -> _Limbs:
    return np.ascontiguousarray(values).view(">u4").astype(np.uint64)


def _carried(limbs: _Limbs) -> tuple[Bytes2D, npt.NDArray[np.bool_]]:
    for place in range(7, 0, -1):
        limbs[:, place - 1] += limbs[:, place] >> _LIMB
        limbs[:, place] &= _MASK
    exceeds = limbs[:, 0] > _MASK
    limbs[:, 0] &= _MASK
    return _bytes(limbs), exceeds


def _bytes(limbs: _Limbs) -> Bytes2D:
    return np.ascontiguousarray(limbs.astype(">u4")).view(np.uint8).reshape(-1, 32)
