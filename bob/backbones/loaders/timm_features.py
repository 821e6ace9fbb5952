"""The outputs of a timm model: pooled rows, feature maps, intermediate layers and keys."""

import inspect
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from bob.errors import OutputError
from bob.specs import DEFAULT, GRID, KEYS, Output


class LayerTokens(NamedTuple):
    """The tokens of one layer."""

    grid: torch.Tensor
    """(B, H, W, D)"""
    prefix: torch.Tensor | None
    """(B, P, D), class token first; None where timm returns none."""


class TimmFeatures(nn.Module):
    """A timm model without its head, and the outputs that can be read from it.

    `default` is what the model's own classifier would read. Of the last layer, `cls` is the class
    token and `mean_patch` the mean of the patch tokens, both after the final norm. Named layers
    are read through timm's `forward_intermediates`; of plain transformers every layer passes the
    final norm, as in the linear probes of DINOv2 (arXiv:2304.07193, section B.3; its
    `get_intermediate_layers(norm=True)`). Stages of other networks are read as they are, before
    any layer between the last stage and the head. Of several layers, each contributes its class
    token, its mean, or both side by side, in the order in which the layers are named. `keys` are
    those of the patch tokens in the last attention, as its projection gives them: before their norm
    and rotation, where there are any.
    """

    def __init__(self, model: nn.Module, name: str) -> None:
        super().__init__()
        self.model: Any = model
        self.name = name
        run = getattr(model, "forward_intermediates", None)
        parameters = inspect.signature(run).parameters if run else {}
        self.depth = len(getattr(model, "feature_info", None) or ()) if run else 0
        """Number of layers that can be named; 0 where timm cannot read them."""
        self.n_prefix: int | None = getattr(model, "num_prefix_tokens", None)
        """Number of class and register tokens; None where timm does not separate them."""
        self.is_transformer = self.n_prefix is not None
        """Whether every layer is a sequence of tokens that the final norm fits."""
        self.has_class_token = getattr(model, "cls_token", None) is not None
        self._returns_prefix = bool(self.n_prefix) and "return_prefix_tokens" in parameters

    def patch_px(self) -> int | None:
        """Return the side of a plain transformer's patches in pixels; None for other networks."""
        stages = getattr(self.model, "feature_info", None)
        return stages[-1]["reduction"] if self.is_transformer and stages else None

    def forward(self, x: torch.Tensor, outputs: Sequence[Output]) -> dict[Output, torch.Tensor]:
        if KEYS not in outputs:
            return self._read(x, outputs)
        attention = self._last_attention()
        inputs: list[torch.Tensor] = []
        handle = attention.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
        try:
            read = self._read(x, [output for output in outputs if output != KEYS] or [GRID])
        finally:
            handle.remove()
        read[KEYS] = self._patch_keys(attention, inputs[0], x)
        return {output: read[output] for output in outputs}

    def _last_attention(self) -> Any:
        """Return the attention of the last block; OutputError where its keys cannot be read."""
        blocks = getattr(self.model, "blocks", None) if self.is_transformer else None
        attention = getattr(blocks[-1], "attn", None) if blocks else None
        if not (hasattr(attention, "qkv") or hasattr(attention, "k_proj")):
            raise OutputError(
                f"backbone {self.name!r}: output 'keys' needs a last attention over all patches "
                "with a projection of keys, which this architecture does not have."
            )
        return attention

    def _patch_keys(self, attention: Any, tokens: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return the keys (B, H, W, D) of the patches among the tokens (B, N, D) of images x."""
        height, width = self.model.patch_embed.dynamic_feat_size(tuple(x.shape[-2:]))
        n_prefix = self.n_prefix or 0
        if tokens.ndim != 3 or tokens.shape[1] != n_prefix + height * width:
            raise OutputError(
                f"backbone {self.name!r}: output 'keys' needs one token per patch in the last "
                f"attention; got the shape {tuple(tokens.shape)} with {height} x {width} patches."
            )
        patches = tokens[:, n_prefix:]
        if getattr(attention, "qkv", None) is None:
            keys: torch.Tensor = attention.k_proj(patches)
        else:
            width_of_keys = attention.qkv.out_features // 3
            of_keys = slice(width_of_keys, 2 * width_of_keys)
            bias = attention.qkv.bias
            keys = F.linear(
                patches, attention.qkv.weight[of_keys], None if bias is None else bias[of_keys]
            )
        return keys.reshape(len(x), height, width, -1)

    def _read(self, x: torch.Tensor, outputs: Sequence[Output]) -> dict[Output, torch.Tensor]:
        """Return all outputs but keys."""
        if list(outputs) == [DEFAULT]:
            return {DEFAULT: self.model(x)}
        layers = {output: self._layers(output) for output in outputs if self._reads_layers(output)}
        features, tokens = self._run(
            x,
            sorted({layer for named in layers.values() for layer in named}),
            with_features=len(layers) < len(outputs),
        )
        return {
            output: self._from_layers([tokens[layer] for layer in layers[output]], output)
            if output in layers
            else self._from_features(features, output)
            for output in outputs
        }

    def _reads_layers(self, output: Output) -> bool:
        """Whether an output is read from intermediate layers; a transformer's grid is too."""
        return output.layers != "last" or (output.is_grid and self.is_transformer)

    def _layers(self, output: Output) -> list[int]:
        """Return the layers that an output reads, counted from 0."""
        if not self.depth:
            raise OutputError(
                f"backbone {self.name!r}: output {str(output)!r} reads intermediate layers, "
                "which timm does not return for this architecture; use 'default'."
            )
        named = (-1,) if output.layers == "last" else output.layers
        if outside := [layer for layer in named if not -self.depth <= layer < self.depth]:
            raise OutputError(
                f"backbone {self.name!r}: has no layer {outside[0]} for output {str(output)!r}; "
                f"its {self.depth} layers are numbered 0 to {self.depth - 1}, or -{self.depth} "
                "to -1."
            )
        return [layer % self.depth for layer in named]

    def _run(
        self, x: torch.Tensor, layers: list[int], *, with_features: bool
    ) -> tuple[Any, dict[int, LayerTokens]]:
        """Return the result of `forward_features` and the tokens of layers, in one forward pass.

        `layers` are in ascending order. The result is None where no output reads it.
        """
        if not layers:
            return self.model.forward_features(x), {}
        options = {"return_prefix_tokens": True} if self._returns_prefix else {}
        result = self.model.forward_intermediates(
            x,
            indices=layers,
            norm=self.is_transformer,
            intermediates_only=not with_features,
            **options,
        )
        features, states = result if with_features else (None, result)
        tokens = {}
        for layer, state in zip(layers, states, strict=True):
            grid, prefix = state if isinstance(state, tuple) else (state, None)
            tokens[layer] = LayerTokens(grid.permute(0, 2, 3, 1), prefix)
        return features, tokens

    def _from_features(self, features: Any, output: Output) -> torch.Tensor:
        """Read an output of the last layer from the result of `forward_features`.

        The result is a map (B, D, H, W) or (B, H, W, D), tokens (B, N, D), or something else that
        only the architecture's own head can read.
        """
        if output == DEFAULT:
            default: torch.Tensor = self.model.forward_head(features)
            return default
        if isinstance(features, torch.Tensor) and features.ndim == 4:
            channels_last = getattr(self.model, "output_fmt", "NCHW") == "NHWC"
            grid = features if channels_last else features.permute(0, 2, 3, 1)
            return grid if output.is_grid else self._pool(LayerTokens(grid, None), output)
        if output.is_grid:
            raise OutputError(
                f"backbone {self.name!r}: timm does not return the last layer of this architecture "
                "as a grid; name a layer, as in 'grid@-1'."
            )
        if not isinstance(features, torch.Tensor) or (
            self.n_prefix is None and self.has_class_token
        ):
            raise OutputError(
                f"backbone {self.name!r}: output {str(output)!r} needs patch tokens alone, which "
                "timm does not return for the last layer of this architecture; use 'default'."
            )
        n_prefix = self.n_prefix or 0
        patches = features[:, None, n_prefix:]
        return self._pool(LayerTokens(patches, features[:, :n_prefix]), output)

    def _from_layers(self, layers: list[LayerTokens], output: Output) -> torch.Tensor:
        """Return the rows (B, D) or the grid (B, H, W, D) of layers, side by side."""
        if not output.is_grid:
            return torch.cat([self._pool(tokens, output) for tokens in layers], dim=1)
        sizes = {tuple(tokens.grid.shape[1:3]) for tokens in layers}
        if len(sizes) > 1:
            raise OutputError(
                f"backbone {self.name!r}: the layers of output {str(output)!r} have grids of "
                f"different sizes, {sorted(sizes)}; name layers of one size."
            )
        return torch.cat([tokens.grid for tokens in layers], dim=3)

    def _pool(self, tokens: LayerTokens, output: Output) -> torch.Tensor:
        """Return the pooled row (B, D) of one layer, or (B, 2 D) for `cls+mean_patch`."""
        rows = []
        for part in output.pool.split("+"):
            if part == "cls":
                rows.append(self._class_token(tokens, output))
            elif part == "mean_patch":
                rows.append(tokens.grid.flatten(1, 2).mean(dim=1))
            else:
                raise OutputError(
                    f"backbone {self.name!r}: a timm model has no output {str(output)!r}; "
                    "use 'default', 'cls', 'mean_patch', 'cls+mean_patch' or 'grid'."
                )
        return torch.cat(rows, dim=1)

    def _class_token(self, tokens: LayerTokens, output: Output) -> torch.Tensor:
        if not self.has_class_token:
            raise OutputError(
                f"backbone {self.name!r}: has no class token for output {str(output)!r}; "
                "use 'default' or 'mean_patch'."
            )
        if tokens.prefix is None:
            raise OutputError(
                f"backbone {self.name!r}: output {str(output)!r} needs class tokens of named "
                "layers, which timm does not return for this architecture; use 'cls'."
            )
        return tokens.prefix[:, 0]
