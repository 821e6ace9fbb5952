"""Files that hold weights, files that stand in for them, and files that hold something else."""

import gzip
import io
import json
import re
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save, save_file

from bob.backbones.weights.file_kinds import require_weights
from bob.backbones.weights.read import read_checkpoint
from bob.errors import BackboneError, UnavailableError

A, B = torch.arange(3.0), torch.ones(2)


def read(path: Path, key: str | None = None) -> dict[str, torch.Tensor]:
    return read_checkpoint("mine", path, key).tensors


# --- what is not a checkpoint


def test_a_pickle_that_contains_code_is_refused(tmp_path):
    path = tmp_path / "evil.pth"
    torch.save({"state_dict": {"a": A}, "hook": print}, path)
    with pytest.raises(
        BackboneError,
        match=r"contains more than tensors \(builtins\.print\), and a pickle can run code: not lo",
    ) as error:
        read(path)
    assert "weights_only" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"no checkpoint", "a.pth"),
        (b"\x08\0\0\0\0\0\0\0{}", "a.safetensors"),
        (b"", "a.safetensors"),
        (b"\x80\x02", "a.pth"),
        (b"PK\x03\x04", "a.pth"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BackboneError, match="is not a complete checkpoint") as error:
        read(tmp_path / name)
    assert "weights_only" not in str(error.value)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.float8_e4m3fn, torch.int64])
def test_quantised_weights_are_refused(tmp_path, dtype):
    """Loaded as they are, without their scales, they would be other weights."""
    state = {"norm.index": torch.arange(3), "norm.weight": A, "fc.weight": B.to(dtype)}
    save_file(state, tmp_path / "a.safetensors")
    kind = str(dtype).removeprefix("torch.")
    with pytest.raises(BackboneError, match=f"holds fc.weight as {kind}: its weights are quant"):
        read(tmp_path / "a.safetensors")


def test_a_file_without_a_state_dict_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(BackboneError, match="contains no state dict"):
        read(tmp_path / "list.pth")


class Doubled(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(B)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x * self.weight


def torchscript() -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(Doubled(), B), buffer)
    return buffer.getvalue()


def zipped(names: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.filterwarnings(
    "ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning"
)
def test_a_torchscript_program_is_named_with_the_way_to_its_tensors(tmp_path):
    (tmp_path / "model.pt").write_bytes(torchscript())
    with pytest.raises(
        BackboneError,
        match=r"is a TorchScript program, which contains code and is not run\. Save its tensors "
        r".*torch\.jit\.load\(FILE, map_location='cpu'\)\.state_dict\(\)",
    ) as error:
        read(tmp_path / "model.pt")
    assert "weights_only" not in str(error.value)


OTHER_FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "gzip": (gzip.compress(b"x"), "is compressed by gzip: unpack it"),
    "tar": (tarred("weights.pth", b"x"), "is a tar archive: unpack it"),
    "zip": (zipped({"model/weights.pth": b"x"}), r"is a zip archive without .*model/weights\.pth"),
    "numpy": (b"\x93NUMPY\x01\0", "is a NumPy array"),
    "keras": (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
}


@pytest.mark.parametrize("kind", OTHER_FILES)
def test_files_of_other_kinds_are_named(tmp_path, kind):
    content, message = OTHER_FILES[kind]
    (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(BackboneError, match=message):
        read(tmp_path / "weights.pth")


def test_an_archive_that_does_not_fit_in_memory_is_refused_before_it_is_unpacked(
    tmp_path, monkeypatch
):
    """A megabyte of zeros, packed into a few kilobytes, on a machine with half of it free."""
    bomb = zipped({"a/data.pkl": bytes(2**20), "a/version": b"3"}, zipfile.ZIP_DEFLATED)
    (tmp_path / "weights.pth").write_bytes(bomb)

    class Memory:
        available = 2**19

    monkeypatch.setattr("psutil.virtual_memory", Memory)
    with pytest.raises(BackboneError, match=r"is compressed, and 0\.0 GiB when unpacked"):
        read(tmp_path / "weights.pth")


POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
    "size 367001600\n"
)


def test_a_pointer_of_git_lfs_is_named_with_the_remedy(tmp_path):
    (tmp_path / "model.safetensors").write_text(POINTER)
    with pytest.raises(
        UnavailableError,
        match=r"is a Git LFS pointer to weights of 350\.0 MiB, not the weights\. Run `git lfs pul",
    ):
        require_weights("backbone 'mine'", tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    "page", ["<!DOCTYPE html>\n<html>", "\n <html lang=en>", "<?xml version='1.0'?><Error>"]
)
def test_a_web_page_is_named_with_the_remedy(tmp_path, page):
    (tmp_path / "weights.pth").write_text(page)
    with pytest.raises(UnavailableError, match=r"is a web page, not weights .*download the file"):
        require_weights("backbone 'mine'", tmp_path / "weights.pth")


def test_weights_are_not_taken_for_anything_else(tmp_path):
    for name, content in (("a.safetensors", save({"a": A})), ("b.onnx", b"\x08\x07"), ("c", b"")):
        (tmp_path / name).write_bytes(content)
        require_weights("backbone 'mine'", tmp_path / name)


def test_the_format_is_that_of_the_content_and_not_of_the_name(tmp_path):
    save_file({"a": A}, tmp_path / "a.bin")
    assert torch.equal(read(tmp_path / "a.bin")["a"], A)


# --- forged files

STORAGES = {
    "more elements than the storage has": ((3,), (1,), 0, 3),
    "a view beyond the storage": ((400,), (1,), 0, 2),
    "an offset beyond the storage": ((2,), (1,), 2, 2),
    "an offset before the storage": ((2,), (1,), -1, 2),
    "a step beyond the storage": ((2,), (2**62,), 0, 2),
    "a step backwards": ((2,), (-1,), 0, 2),
    "a size that overflows": ((2**33, 2**33), (2**33, 1), 0, 2),
    "a negative size": ((-2,), (1,), 0, 2),
}
"""Sizes, steps and offset of a tensor, and the elements of its storage, which has two."""


def forged(sizes: Any, steps: Any, offset: int, elements: int) -> bytes:
    """Return a checkpoint of PyTorch whose tensor is described by these numbers."""
    import pickle
    from collections import OrderedDict

    buffer = io.BytesIO()
    torch.save({"w": B}, buffer)
    with zipfile.ZipFile(buffer) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    class Storage:
        pass

    class View:
        def __reduce__(self) -> Any:
            arguments = (Storage(), offset, sizes, steps, False, OrderedDict())
            return torch._utils._rebuild_tensor_v2, arguments

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            is_storage = isinstance(value, Storage)
            return ("storage", torch.FloatStorage, "0", "cpu", elements) if is_storage else None

    program = io.BytesIO()
    Pickler(program, 2).dump({"w": View()})
    (name,) = (name for name in members if name.endswith("data.pkl"))
    return zipped(members | {name: program.getvalue()})


def test_a_checkpoint_of_the_forgers_own_numbers_is_read(tmp_path):
    """The forger writes a checkpoint that is right where the numbers are."""
    (tmp_path / "right.pth").write_bytes(forged((2,), (1,), 0, 2))
    assert torch.equal(read(tmp_path / "right.pth")["w"], B)


@pytest.mark.parametrize("name", STORAGES)
def test_tensors_outside_of_their_storage_are_refused(tmp_path, name):
    (tmp_path / "forged.pth").write_bytes(forged(*STORAGES[name]))
    with pytest.raises(BackboneError, match="is not a complete checkpoint"):
        read(tmp_path / "forged.pth")


def header(**tensors: Any) -> bytes:
    text = json.dumps(tensors).encode()
    return len(text).to_bytes(8, "little") + text + bytes(8)


F32 = {"dtype": "F32", "shape": [2]}


@pytest.mark.parametrize(
    "content",
    [
        header(w={**F32, "data_offsets": [0, 800]}),
        header(w={**F32, "data_offsets": [4, 12]}),
        header(w={**F32, "data_offsets": [-8, 0]}),
        header(w={"dtype": "F32", "shape": [2**40], "data_offsets": [0, 8]}),
        header(w={"dtype": "F32", "shape": [2**63, 4], "data_offsets": [0, 8]}),
        header(v={**F32, "data_offsets": [0, 8]}, w={**F32, "data_offsets": [4, 12]}),
        (2**62).to_bytes(8, "little") + b"{}",
    ],
)
def test_safetensors_headers_out_of_range_are_refused(tmp_path, content):
    (tmp_path / "forged.safetensors").write_bytes(content)
    with pytest.raises(BackboneError, match="is not a complete checkpoint"):
        read(tmp_path / "forged.safetensors")


# --- shards


def sharded(folder: Path, **weight_map: str) -> Path:
    """Write two shards and an index, whose entries `weight_map` replaces."""
    save_file({"a": A}, folder / "model-00001-of-00002.safetensors")
    save_file({"b": B}, folder / "model-00002-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": shards | weight_map}))
    return index


def test_a_checkpoint_in_shards_is_read_by_its_index(tmp_path):
    tensors = read(sharded(tmp_path))
    assert set(tensors) == {"a", "b"}
    assert torch.equal(tensors["a"], A) and torch.equal(tensors["b"], B)


def test_a_missing_shard_is_named(tmp_path):
    index = sharded(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(BackboneError, match=r"the shard '.*model-00002-of-00002.* is missing"):
        read(index)


def test_a_shard_without_one_of_its_tensors_is_named(tmp_path):
    with pytest.raises(BackboneError, match=r"the shard '.*00001.*' lacks 'c'; .*says that it con"):
        read(sharded(tmp_path, c="model-00001-of-00002.safetensors"))


@pytest.mark.parametrize(
    "place", ["../elsewhere.safetensors", "/etc/passwd", "sub/x.bin", "", "..", "a\0b"]
)
def test_an_index_cannot_refer_to_files_elsewhere(tmp_path, place):
    with pytest.raises(BackboneError, match=f"refers to {re.escape(repr(place))}; the shards"):
        read(sharded(tmp_path, a=place))


@pytest.mark.parametrize("text", ["{}", "[]", "no json", '{"weight_map": [1]}'])
def test_an_index_of_another_kind_is_refused(tmp_path, text):
    (tmp_path / "x.index.json").write_text(text)
    with pytest.raises(BackboneError, match="is not the index of a sharded checkpoint"):
        read(tmp_path / "x.index.json")


# --- averaged weights


@pytest.mark.parametrize(
    ("key", "prefix"),
    [
        ("state_dict_ema", ""),
        ("model_ema", ""),
        ("ema_state_dict", "module."),
        ("ema", ""),
        ("swa_model", "module."),
    ],
)
def test_averaged_weights_are_preferred_and_the_choice_is_told(tmp_path, key, prefix):
    """As timm prefers `state_dict_ema`; the other weights are read where the entry names them."""
    averaged = {f"{prefix}a": A + 1}
    torch.save({"epoch": 3, "state_dict": {"a": A}, key: averaged}, tmp_path / "c.pth")
    checkpoint = read_checkpoint("mine", tmp_path / "c.pth")
    assert torch.equal(checkpoint.tensors["a"], A + 1)
    (note,) = checkpoint.notes
    assert f"averaged weights at {key!r} of its file are read" in note
    assert "write weights.state_dict: state_dict" in note
    assert torch.equal(read(tmp_path / "c.pth", "state_dict")["a"], A)


def test_timms_own_reader_takes_the_same_weights(tmp_path):
    from timm.models import load_state_dict

    content = {"state_dict": {"a": A}, "model_ema": {"a": A + 2}, "state_dict_ema": {"a": A + 1}}
    torch.save(content, tmp_path / "c.pth")
    assert torch.equal(read(tmp_path / "c.pth")["a"], load_state_dict(tmp_path / "c.pth")["a"])


@pytest.mark.parametrize("averaged", [{"other": A}, {"shadow_params": [A]}, [A]])
def test_averages_under_other_names_are_not_read_and_told(tmp_path, averaged):
    torch.save({"state_dict": {"a": A}, "ema": averaged}, tmp_path / "c.pth")
    checkpoint = read_checkpoint("mine", tmp_path / "c.pth")
    assert torch.equal(checkpoint.tensors["a"], A)
    (note,) = checkpoint.notes
    assert "are read, not what is at 'ema' beside them" in note


def test_values_without_tensors_are_no_averaged_weights(tmp_path):
    content = {"state_dict": {"a": A}, "ema": None, "ema_decay": 0.99, "schema": {"b": B}}
    torch.save(content, tmp_path / "c.pth")
    assert read_checkpoint("mine", tmp_path / "c.pth").notes == ()
