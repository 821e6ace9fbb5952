"""open_clip's text towers and their tokenizers, whose files come through the hub like any other."""

import contextlib
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from bob.backbones.text import TextTower
from bob.backbones.weights.tensors import State, load_strictly
from bob.errors import UnavailableError
from bob.io.digest import digest
from bob.io.hub import hub_snapshot
from bob.specs import BackboneSpec

IMAGE = "visual."
NO_IMAGE_TOWER = {"image_size": 32, "patch_size": 32, "layers": 1, "width": 64, "head_width": 64}
"""Stands in for the image tower while a text tower is built."""
OLD_BUFFERS = ("text.transformer.embeddings.position_ids",)
"""In files from before transformers 4.31; a buffer that is counted up, not learned."""
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "tokenizer.model", "spiece.model")
TOKENIZER_EXTRAS = ("tokenizer_config.json", "special_tokens_map.json", "config.json")
PROBES = ["a photo of a cat.", "  Ünïcode &amp; CAPITALS,\n don't!  ", "word " * 400]
"""Texts that tell tokenizers apart: cleaning, case, truncation."""


class EncodeText(nn.Module):
    """open_clip's `encode_text` without normalisation: (n, L) tokens → (n, D)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        rows: torch.Tensor = self.model.encode_text(tokens, normalize=False)
        return rows


def load_text(
    spec: BackboneSpec, config: Mapping[str, Any], state: State, *, offline: bool
) -> TextTower:
    """The text tower of a whole model's state dict, every tensor by name, and its tokenizer."""
    who, text = f"backbone {spec.name!r}", dict(config["text_cfg"])
    tokenize = _tokenizer(who, text, offline=offline)
    model = _model(who, {**config, "text_cfg": text}, offline=offline)
    load_strictly(spec.name, model, _text_state(model, state), f"{spec.architecture}, text tower")
    scale, bias = (
        model.logit_scale.detach().exp().item(),
        None if model.logit_bias is None else model.logit_bias.detach().item(),
    )
    module = EncodeText(model).eval().requires_grad_(False)
    return TextTower(
        module, tokenize, _identity(tokenize), int(model.context_length), float(scale), bias
    )


def _model(who: str, config: dict[str, Any], *, offline: bool) -> Any:
    """The whole model with a stand-in for its image tower, which is then taken away."""
    import open_clip

    own = deepcopy(config)
    hugging_face = own["text_cfg"].get("hf_model_name")
    if hugging_face:
        _require_transformers(who)
        own["text_cfg"]["hf_model_name"] = str(
            hub_snapshot(who, hugging_face, ["config.json"], [], offline=offline)
        )
        own["text_cfg"]["hf_model_pretrained"] = False
    custom = own.pop("custom_text", False) or bool(hugging_face)
    kind = open_clip.CustomTextCLIP if custom else open_clip.CLIP
    model = kind(**{**own, "vision_cfg": NO_IMAGE_TOWER})
    del model.visual
    return model


def _text_state(model: Any, state: State) -> dict[str, torch.Tensor]:
    """Everything but the image tower, under the names of the model's kind; scalars in the model's shape."""
    import open_clip

    text = {
        name: tensor
        for name, tensor in state.items()
        if not name.startswith(IMAGE) and name not in OLD_BUFFERS
    }
    if "positional_embedding" in text and not hasattr(model, "positional_embedding"):
        text = open_clip.model.convert_to_custom_text_state_dict(text)
    scalars = {
        name: getattr(model, name)
        for name in ("logit_scale", "logit_bias")
        if name in text and getattr(model, name) is not None
    }
    return {
        name: tensor.reshape(scalars[name].shape) if name in scalars else tensor
        for name, tensor in text.items()
    }


def _tokenizer(who: str, text: Mapping[str, Any], *, offline: bool) -> Any:
    """As open_clip's `get_tokenizer` makes it, but for where its files come from."""
    from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

    options = {"context_length": text.get("context_length", 77), **text.get("tokenizer_kwargs", {})}
    repository = text.get("hf_tokenizer_name")
    if not repository:
        return SimpleTokenizer(**options)
    _require_transformers(who)
    folder = hub_snapshot(who, repository, TOKENIZER_FILES, TOKENIZER_EXTRAS, offline=offline)
    return HFTokenizer(str(folder), tokenizer_mode=text.get("tokenizer_mode"), **options)


def _identity(tokenize: Callable[[list[str]], torch.Tensor]) -> str:
    """Its kind, and a digest of its vocabulary and of what it makes of a few texts."""
    inner: Any = getattr(tokenize, "tokenizer", None)
    vocabulary = inner.get_vocab() if inner is not None else tokenize.encoder  # type: ignore[attr-defined]
    return f"{type(tokenize).__name__} {digest([vocabulary, tokenize(PROBES).tolist()])}"


def _require_transformers(who: str) -> None:
    with contextlib.suppress(ImportError):
        import transformers  # noqa: F401

        return
    raise UnavailableError(
        f"{who}: its text tower needs the package transformers; pip install 'bob-bench[transformers]'"
    )
