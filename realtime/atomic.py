"""Words of memory that two threads or processes share, for compiled code: loads with acquire, stores with release.

``load_in_order`` and ``store_in_order`` stand besides in one order that all see alike: of two sides that each store a word and then
load the other's, one sees what the other stored.

Places are counted in words of 64 bits from an address, as ``address`` gives it of an array.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir  # pyright: ignore[reportMissingTypeStubs]  # it has none
from numba import types  # pyright: ignore[reportPrivateImportUsage]
from numba.extending import intrinsic


def inlined(build: Callable[..., Any]) -> Any:
    """Numba's ``intrinsic``, which declares the arguments of the function that builds the code, not those of the call."""
    return intrinsic(build)


@inlined
def address(typing: Any, array: Any) -> Any:
    """Of an array's first item."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(data, ir.IntType(64))

    return types.int64(array), codegen


def _loads(order: str) -> Any:
    """``load(at, place)``: the word there, in that order of LLVM's."""

    def load(typing: Any, at: Any, place: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.load_atomic(_word_at(builder, *args), order, 8)

        return types.int64(types.int64, types.int64), codegen

    return inlined(load)


def _stores(order: str) -> Any:
    """``store(at, place, value)``: likewise; gives 0."""

    def store(typing: Any, at: Any, place: Any, value: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            builder.store_atomic(args[2], _word_at(builder, *args[:2]), order, 8)
            return ir.Constant(ir.IntType(64), 0)

        return types.int64(types.int64, types.int64, types.int64), codegen

    return inlined(store)


load, store = _loads("acquire"), _stores("release")
load_in_order, store_in_order = _loads("seq_cst"), _stores("seq_cst")


def _word_at(builder: Any, at: Any, place: Any) -> Any:
    word = ir.IntType(64)
    return builder.inttoptr(builder.add(at, builder.mul(place, ir.Constant(word, 8))), word.as_pointer())
