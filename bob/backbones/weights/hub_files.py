"""Names of weight files in hub repositories, for loading and for availability alike."""

from collections.abc import Mapping

from bob.specs import BackboneSpec

_TORCH_FILES = ("model.safetensors", "pytorch_model.bin")
_FILES_OF_LOADER: Mapping[str, tuple[str, ...]] = {
    "open_clip": ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"),
    "onnx": ("model.onnx", "onnx/model.onnx"),
    "transformers": (  # the indices are those of checkpoints that are cut into shards
        "model.safetensors",
        "model.safetensors.index.json",
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
    ),
}
"""Where a library has names of its own."""


def hub_file_names(spec: BackboneSpec) -> tuple[str, ...]:
    """Return the names under which to look for the weights in their hub repository, safest first.

    The entry's `weights.file`, else the usual names of the loader's library.
    """
    if spec.weights and spec.weights.file:
        return (spec.weights.file,)
    return _FILES_OF_LOADER.get(spec.loader, _TORCH_FILES)
