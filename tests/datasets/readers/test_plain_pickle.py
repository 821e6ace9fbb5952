"""Pickles of plain values and arrays: NumPy's own values come back, and nothing else is made."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bob.datasets.readers.plain_pickle import load_plain_pickle
from bob.errors import DatasetError

RECONSTRUCT, ARRAY = np.zeros(1).__reduce__()[:2]
"""What NumPy writes to make an array: a function, and (ndarray, (0,), b'b')."""
SCALAR: Callable[..., Any] = np.float64(1).__reduce__()[0]  # type: ignore[assignment]
BIG, OBJECTS = np.dtype("i8"), np.dtype("O")
POINTER = b"A" * 8
PLAIN = {
    "rows": np.arange(6).reshape(2, 3),
    "by column": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "axes": np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
    "steps": np.arange(10)[::2],
    "text": np.array(["ab", "c"]),
    "bytes": np.array([b"x"]),
    "objects": np.array([1, "x", None], object),
    "big-endian": np.array([1, 2], ">i4"),
    "empty": np.zeros((0, 3)),
    "no axis": np.array(5),
    "float64": np.float64(2.5),
    "int32": np.int32(3),
    "bool": np.bool_(True),
    "str": np.str_("q"),
    "raw": b"abc",
    "no bytes": b"",
    "values": [1, 2.5, "a", None, True, (1, 2), {"a": [3]}],
}


class Call:
    """Pickles as a call of a function, and a state that is then given to its result."""

    def __init__(self, function: Callable[..., Any], *arguments: Any, state: Any = None) -> None:
        self.function, self.arguments, self.state = function, arguments, state

    def __reduce__(self) -> Any:
        call = (self.function, self.arguments)
        return call if self.state is None else (*call, self.state)


def dtype(state: Any, text: str = "i8") -> Call:
    return Call(np.dtype, text, False, True, state=state)


def array(*state: Any) -> Call:
    return Call(RECONSTRUCT, *ARRAY, state=state)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_values_of_numpy_come_back_as_they_were(protocol: int) -> None:
    loaded = load_plain_pickle(pickle.dumps(PLAIN, protocol), "gnd")
    assert set(loaded) == set(PLAIN)
    for name, expected in PLAIN.items():
        assert type(loaded[name]) is type(expected), name
        assert getattr(loaded[name], "dtype", None) == getattr(expected, "dtype", None), name
        np.testing.assert_equal(loaded[name], expected)


def test_pickles_of_python_2_are_read() -> None:
    """Python 2 wrote the bytes of an array as text: here 1 and 2, in 8 bytes each."""
    written = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02i8K\x00K\x01\x87R(K\x03U\x01<NNN"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x10"
        b"\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0tb."
    )
    np.testing.assert_array_equal(load_plain_pickle(written, "gnd"), [1, 2])


FORGED = {
    "numbers that are said to be objects": array(
        1, (1,), dtype((3, "<", None, None, None, 8, 8, 63)), False, POINTER
    ),
    "objects made of bytes": array(1, (1,), OBJECTS, False, POINTER),
    "objects that are missing": array(1, (2,), OBJECTS, False, [1]),
    "a type of several fields": dtype((3, "<", None, ("a",), {"a": (OBJECTS, 0)}, 8, 8, 0)),
    "a type of arrays": dtype((3, "<", (BIG, (4,)), None, None, 8, 8, 0)),
    "a type of another size": dtype((3, "<", None, None, None, 800, 8, 0)),
    "a type of another order": dtype((3, "x", None, None, None, -1, -1, 0)),
    "a type with half a state": dtype((3,)),
    "raw memory": Call(np.dtype, "V8"),
    "fields": Call(np.dtype, [("a", "O"), ("b", "i8")]),
    "too few bytes": array(1, (2,), BIG, False, POINTER),
    "too many bytes": array(1, (1,), BIG, False, POINTER * 2),
    "a negative length": array(1, (-1,), BIG, False, POINTER),
    "a length that overflows": array(1, (2**40, 2**40), BIG, False, POINTER),
    "a length that is a truth value": array(1, (True,), BIG, False, POINTER),
    "an array without a type": array(1, (1,), "i8", False, POINTER),
    "an array with half a state": array(1),
    "an object as a number": Call(SCALAR, OBJECTS, POINTER),
    "a number of one byte": Call(SCALAR, BIG, b"A"),
    "a number with a state": Call(SCALAR, BIG, POINTER, state=(1,)),
    "memory that is not filled": Call(np.ndarray, (1000, 1000), "f8"),
    "bytes by their number": Call(bytes, 10**12),
    "a type alone": BIG,
    "dates": np.array([1], "M8[s]"),
    "a set": {1, 2},
}


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("name", FORGED)
def test_forged_arrays_are_refused(name: str, protocol: int) -> None:
    written = pickle.dumps({"gnd": [FORGED[name]]}, protocol)
    with pytest.raises(DatasetError, match=r"^gnd: .*holds only plain values and arrays"):
        load_plain_pickle(written, "gnd")


@pytest.mark.parametrize(
    "written",
    [
        b"\x80\x04cnumpy\nndarray\n}\x94\x8c\x01x\x94K\x01sb.",
        b"\x80\x04cnumpy\ndtype\n}\x94\x8c\x01x\x94K\x01sb.",
    ],
)
def test_names_cannot_be_given_a_state(written: bytes) -> None:
    with pytest.raises(DatasetError, match=r"^gnd: changes numpy\.(ndarray|dtype)"):
        load_plain_pickle(written, "gnd")


class Malicious:
    """An object whose unpickling would run code."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("touched"),))


@pytest.mark.parametrize(
    "value", [Malicious(), {"gnd": [Malicious()]}, print, np.load, np.array([Malicious()], object)]
)
def test_pickle_runs_no_code(value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match=r"^gnd: refers to "):
        load_plain_pickle(pickle.dumps(value), "gnd")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    "written",
    [
        b"",
        pickle.dumps(PLAIN)[:40],
        b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b"x.",  # a terabyte that is not there
        b"\x80\x02\x8e" + (2**40).to_bytes(8, "little") + b"x.",
        b"\x82\x01.",  # a name of the process's own registry
        b"(i__main__\nX\n.",
        b"\x80\x02X",
    ],
)
def test_a_damaged_pickle_is_reported(written: bytes) -> None:
    with pytest.raises(DatasetError, match="gnd: not a complete pickle of plain values"):
        load_plain_pickle(written, "gnd")


def test_a_number_in_the_file_reserves_no_memory() -> None:
    """The value 1, remembered under number 2,147,483,647: C's unpickler reserves 32 GiB for it."""
    assert load_plain_pickle(b"\x80\x02K\x01r\xff\xff\xff\x7f.", "gnd") == 1


def test_lists_that_spell_more_than_memory_holds_are_refused() -> None:
    spelled: list[Any] = ["a"]
    for _ in range(60):
        spelled = [spelled, spelled]  # 2^60 letters in 60 lists
    with pytest.raises(DatasetError, match="gnd: spells more than 134,217,728 values"):
        load_plain_pickle(pickle.dumps(spelled), "gnd")


def test_a_list_that_contains_itself_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(DatasetError, match="gnd: contains itself"):
        load_plain_pickle(pickle.dumps(circle), "gnd")
