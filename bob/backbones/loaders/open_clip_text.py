"""open_clip's text towers and their tokenizers, whose files also come through the hub."""

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

IMAGE_PREFIX = "visual."
"""Prefix of the image tower's tensors in open_clip's files."""
SMALL_IMAGE_TOWER = {"image_size": 32, "patch_size": 32, "layers": 1, "width": 64, "head_width": 64}
"""Placeholder of the image tower while a text tower is built."""
OLD_BUFFERS = ("text.transformer.embeddings.position_ids",)
"""Buffers in files from before transformers 4.31: a range of numbers, not learned."""
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "tokenizer.model", "spiece.model")
TOKENIZER_EXTRAS = ("tokenizer_config.json", "special_tokens_map.json", "config.json")
PROBES = ["a photo of a cat.", "  Ünïcode &amp; CAPITALS,\n don't!  ", "word " * 400]
"""Texts that distinguish tokenizers: by cleaning, case and truncation."""


class TextEncoder(nn.Module):
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
    """Load a text tower, every tensor by name, and its tokenizer.

    `state` is the state dict of the full model.
    """
    subject, text = f"backbone {spec.name!r}", dict(config["text_cfg"])
    tokenize = _tokenizer(subject, text, offline=offline)
    model = _model(subject, {**config, "text_cfg": text}, offline=offline)
    load_strictly(spec.name, model, _text_state(model, state), f"{spec.architecture}, text tower")
    bias = model.logit_bias
    return TextTower(
        module=TextEncoder(model).eval().requires_grad_(False),
        tokenize=tokenize,
        tokenizer=_tokenizer_identity(tokenize),
        context_length=int(model.context_length),
        logit_scale=float(model.logit_scale.detach().exp().item()),
        logit_bias=None if bias is None else bias.detach().item(),
    )


def _model(subject: str, config: Mapping[str, Any], *, offline: bool) -> Any:
    """Build the full model with a small image tower, and remove that tower."""
    import open_clip

    arguments = deepcopy(dict(config))
    text = arguments["text_cfg"]
    repository = text.get("hf_model_name")
    if repository:
        _require_transformers(subject)
        folder = hub_snapshot(subject, repository, ["config.json"], [], offline=offline)
        text["hf_model_name"] = str(folder)
        text["hf_model_pretrained"] = False
    custom = arguments.pop("custom_text", False) or bool(repository)
    model_class = open_clip.CustomTextCLIP if custom else open_clip.CLIP
    model = model_class(**{**arguments, "vision_cfg": SMALL_IMAGE_TOWER})
    del model.visual
    return model


def _text_state(model: Any, state: State) -> dict[str, torch.Tensor]:
    """Return all tensors but the image tower's, under the names of the model's class.

    Scalars get the shape that the model has for them.
    """
    import open_clip

    text = {
        name: tensor
        for name, tensor in state.items()
        if not name.startswith(IMAGE_PREFIX) and name not in OLD_BUFFERS
    }
    if "positional_embedding" in text and not hasattr(model, "positional_embedding"):
        text = open_clip.model.convert_to_custom_text_state_dict(text)
    for name in ("logit_scale", "logit_bias"):
        if name in text and getattr(model, name) is not None:
            text[name] = text[name].reshape(getattr(model, name).shape)
    return text


def _tokenizer(subject: str, text: Mapping[str, Any], *, offline: bool) -> Any:
    """Build the tokenizer as open_clip's `get_tokenizer` does, from files in the hub's cache."""
    from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

    options = {"context_length": text.get("context_length", 77), **text.get("tokenizer_kwargs", {})}
    repository = text.get("hf_tokenizer_name")
    if not repository:
        return SimpleTokenizer(**options)
    _require_transformers(subject)
    folder = hub_snapshot(subject, repository, TOKENIZER_FILES, TOKENIZER_EXTRAS, offline=offline)
    return HFTokenizer(str(folder), tokenizer_mode=text.get("tokenizer_mode"), **options)


def _tokenizer_identity(tokenize: Callable[[list[str]], torch.Tensor]) -> str:
    """Return the tokenizer's class, and a digest of its vocabulary and of its probe tokens."""
    inner: Any = getattr(tokenize, "tokenizer", None)
    vocabulary = inner.get_vocab() if inner is not None else tokenize.encoder  # type: ignore[attr-defined]
    return f"{type(tokenize).__name__} {digest([vocabulary, tokenize(PROBES).tolist()])}"


def _require_transformers(subject: str) -> None:
    with contextlib.suppress(ImportError):
        import transformers  # noqa: F401

        return
    raise UnavailableError(
        f"{subject}: its text tower needs the package transformers; "
        "pip install 'bob-bench[transformers]'"
    )
