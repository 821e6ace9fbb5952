"""Pickles of plain values and NumPy arrays, read without NumPy's help: Revisited Oxford's truth.

A pickle is a program whose calls build objects. Here every name that NumPy writes for an array, a
number or a data type stands for an object of this module, so that nothing else is imported, called
or given a state: a forged `numpy.dtype` could otherwise turn raw bytes into pointers. The arrays
are made at the end, by `numpy.frombuffer`, from bytes whose number fits shape and type.
"""

import io
import math
import pickle
import re
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from bob.errors import DatasetError

MAX_VALUES = 2**27
"""Values after every reference is written out. A pickle of a few hundred bytes can hold lists of
lists that refer to each other so often that no memory holds what they spell."""
_SCALAR_TYPE = re.compile(r"[<>=|]?(b1|[iu][1248]|f[248]|[SU]\d{1,6}|O8?)")
OBJECT_FLAGS, TEXT_FLAG = 63, 8
"""NumPy's flags of the data types of objects and of text; those of numbers are 0."""
_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_REFUSED = (
    *(pickle.PERSID, pickle.BINPERSID, pickle.EXT1, pickle.EXT2, pickle.EXT4),
    *(pickle.INST, pickle.OBJ, pickle.NEWOBJ, pickle.NEWOBJ_EX),
    *(pickle.NEXT_BUFFER, pickle.READONLY_BUFFER),
)
"""Operations that neither plain values nor NumPy's arrays need: they make instances of classes or
refer to something outside the file."""


class _RefusedError(Exception):
    """A pickle holds something other than plain values and arrays."""


class _Name:
    """What a name in the pickle stands for: a function of this module."""

    __slots__ = ("_call", "_text")

    def __init__(self, text: str, call: Callable[..., Any] | None) -> None:
        self._text, self._call = text, call

    def __call__(self, *arguments: Any) -> Any:
        if self._call is None:
            raise _RefusedError(f"calls {self._text}")
        return self._call(*arguments)

    def __setstate__(self, state: Any) -> NoReturn:
        raise _RefusedError(f"changes {self._text}")


class _Type:
    """The data type of an array or number: numbers, text or Python's plain values."""

    __slots__ = ("text",)

    def __init__(self, text: Any, *_: Any) -> None:
        if not isinstance(text, str) or not _SCALAR_TYPE.fullmatch(text):
            raise _RefusedError(f"has the data type {text!r:.40}")
        self.text = text.lstrip("<>=|")

    def __setstate__(self, state: Any) -> None:
        """Take the byte order of NumPy's state of a data type, and refuse any other content.

        (version, order, subtype, names, fields, size, alignment, flags): size is -1 for numbers.
        """
        _, order, *inner, size, _, flags = (*_tuple(state, 7), 0)[:8]
        plain_flags = (OBJECT_FLAGS,) if self.holds_objects else (0, TEXT_FLAG)
        if (
            order not in ("<", ">", "=", "|")
            or inner != [None, None, None]
            or size not in (-1, np.dtype(self.text).itemsize)
            or flags not in plain_flags
        ):
            raise _RefusedError(f"has a data type {self.text!r} with the state {state!r:.60}")
        self.text = order + self.text

    def __repr__(self) -> str:
        return repr(self.text)

    @property
    def holds_objects(self) -> bool:
        return "O" in self.text


class _Array:
    """An array before it is made."""

    __slots__ = ("axes", "by_column", "data", "dtype", "shape")

    def __init__(self, *_: Any) -> None:
        self.shape: tuple[int, ...] = (0,)
        self.axes: tuple[int, ...] | None = None
        self.dtype, self.by_column, self.data = _Type("f8"), False, b""

    def __setstate__(self, state: Any) -> None:
        """Take NumPy's (version, shape, dtype, whether in Fortran's order, bytes or a list)."""
        _, shape, dtype, by_column, self.data = _tuple(state, 5)[:5]
        sizes = _tuple(shape, 0)
        if not isinstance(dtype, _Type) or any(type(n) is not int or n < 0 for n in sizes):
            raise _RefusedError(f"has an array of shape {shape!r:.60} and type {dtype!r:.60}")
        self.shape, self.dtype, self.by_column = sizes, dtype, bool(by_column)

    def make(self, convert: Callable[[Any], Any]) -> NDArray[Any]:
        """Return the array; `convert` makes the plain values of one that holds objects."""
        if not self.dtype.holds_objects:
            flat: NDArray[Any] = _from_bytes(self.data, self.dtype, math.prod(self.shape))
        elif isinstance(self.data, list) and len(self.data) == math.prod(self.shape):
            flat = np.empty(len(self.data), object)
            for i, value in enumerate(self.data):
                flat[i] = convert(value)
        else:
            raise _RefusedError(f"has an array of shape {self.shape} without its values")
        values = flat.reshape(self.shape, order="F" if self.by_column else "C")
        return values if self.axes is None else values.transpose(self.axes)


class _Number:
    """One value of a NumPy type before it is made."""

    __slots__ = ("data", "dtype")

    def __init__(self, dtype: Any, data: Any = None) -> None:
        if not isinstance(dtype, _Type) or dtype.holds_objects:
            raise _RefusedError(f"has a number of type {dtype!r:.60}")
        self.dtype, self.data = dtype, data

    def make(self) -> Any:
        return _from_bytes(self.data, self.dtype, 1)[0]

    def __setstate__(self, state: Any) -> NoReturn:
        raise _RefusedError("changes a number")


def _tuple(state: Any, at_least: int) -> tuple[Any, ...]:
    if not isinstance(state, tuple) or len(state) < at_least:
        raise _RefusedError(f"has the state {state!r:.60}")
    return state


def _from_bytes(data: Any, dtype: _Type, count: int) -> NDArray[Any]:
    raw = data.encode("latin1") if isinstance(data, str) else data
    kind = np.dtype(dtype.text)
    if not isinstance(raw, bytes) or len(raw) != count * kind.itemsize:
        raise _RefusedError(
            f"has {len(raw) if isinstance(raw, bytes) else 'no'} bytes for {count} values of "
            f"{kind.itemsize} bytes"
        )
    return np.frombuffer(raw, kind) if raw else np.empty(count, kind)


def _array_of_buffer(
    data: Any, dtype: Any, shape: Any, order: Any, axes: Any = None, *_: Any
) -> _Array:
    """Return an array as protocol 5 writes it; `axes` are the order of those of an order 'K'."""
    array = _Array()
    array.__setstate__((1, shape, dtype, order == "F", data))
    if order == "K" and axes is not None:
        if sorted(_tuple(axes, 0)) != list(range(len(array.shape))):
            raise _RefusedError(f"has an array with the axes {axes!r:.40}")
        array.axes = axes
    return array


def _encoded(text: Any, codec: Any) -> bytes:
    """Return text as bytes, as Python 3 writes bytes for Python 2."""
    if not isinstance(text, str) or codec not in ("latin1", "latin-1"):
        raise _RefusedError(f"encodes {text!r:.40} as {codec!r:.40}")
    return text.encode("latin1")


def _empty_bytes(*arguments: Any) -> bytes:
    if arguments:
        raise _RefusedError("makes bytes from arguments")
    return b""


NAMES: dict[tuple[str, str], Callable[..., Any] | None] = {
    ("numpy", "ndarray"): None,
    ("numpy", "dtype"): _Type,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): _Number,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "scalar"): _Number,
    ("numpy.core.numeric", "_frombuffer"): _array_of_buffer,
    ("numpy._core.numeric", "_frombuffer"): _array_of_buffer,
    ("_codecs", "encode"): _encoded,
    ("__builtin__", "bytes"): _empty_bytes,
}
"""Names that NumPy and Python write for arrays, numbers and their bytes → what they stand for.

`ndarray` is only passed on."""


class _PlainUnpickler(pickle._Unpickler):
    """Python's own unpickler, whose memory grows with the file and not with numbers in it."""

    dispatch = {
        code: operation
        for code, operation in pickle._Unpickler.dispatch.items()
        if bytes([code]) not in _REFUSED
    }
    # the original reserves memory before it reads
    dispatch[pickle.BYTEARRAY8[0]] = dispatch[pickle.BINBYTES8[0]]

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in NAMES:
            raise _RefusedError(f"refers to {module}.{name}")
        return _Name(f"{module}.{name}", NAMES[module, name])


class _Values:
    """Conversion of what the unpickler made into plain values and arrays."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[Any, int]] = {}
        self._open: set[int] = set()

    def convert(self, value: Any) -> Any:
        return self._convert(value)[0]

    def _convert(self, value: Any) -> tuple[Any, int]:
        """Return the value and the number of values in it, every reference written out."""
        if isinstance(value, _PLAIN):
            return value, 1
        if id(value) in self._made:
            return self._made[id(value)]
        if id(value) in self._open:
            raise _RefusedError("contains itself")
        self._open.add(id(value))
        made = self._inner(value)
        if made[1] > MAX_VALUES:
            raise _RefusedError(f"spells more than {MAX_VALUES:,} values")
        self._open.remove(id(value))
        self._made[id(value)] = made
        return made

    def _inner(self, value: Any) -> tuple[Any, int]:
        if isinstance(value, _Number):
            return value.make(), 1
        if isinstance(value, _Array):
            return value.make(self.convert), 1 + (
                sum(self._convert(item)[1] for item in value.data)
                if value.dtype.holds_objects
                else 0
            )
        if isinstance(value, dict):
            keys = [self._convert(key) for key in value]
            items = [self._convert(item) for item in value.values()]
            made = {key: item for (key, _), (item, _) in zip(keys, items, strict=True)}
            return made, 1 + sum(count for _, count in (*keys, *items))
        if type(value) in (list, tuple):
            items = [self._convert(item) for item in value]
            return type(value)(item for item, _ in items), 1 + sum(count for _, count in items)
        raise _RefusedError(f"contains a {type(value).__name__.lstrip('_')}")


def load_plain_pickle(data: bytes, where: str) -> Any:
    """Return the values of a pickle; raise a DatasetError if it holds anything but plain values.

    `where` begins error messages.
    """
    try:
        return _Values().convert(_PlainUnpickler(io.BytesIO(data), encoding="latin1").load())
    except _RefusedError as error:
        raise DatasetError(
            f"{where}: {error}. A ground truth holds only plain values and arrays: the file is "
            "something else, or was tampered with."
        ) from error
    except Exception as error:  # on damaged data pickle raises nearly anything
        raise DatasetError(
            f"{where}: not a complete pickle of plain values ({type(error).__name__}: {error}). "
            f"Download it again."
        ) from error
