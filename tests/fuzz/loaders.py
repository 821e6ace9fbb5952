"""Files that loaders of backbones read beside weights: graphs, and settings of image processors."""

import json
import random
from pathlib import Path
from typing import Any

from bob.backbones.card import load_backbone
from bob.backbones.loaders.image_processor import adopt
from tests.builders.onnx_graphs import spec, write_graph
from tests.fuzz.mutate import damaged, damaged_values
from tests.fuzz.target import Case

SETTINGS: tuple[dict[str, Any], ...] = (
    {
        "image_processor_type": "ViTImageProcessor",
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "resample": 2,
        "rescale_factor": 0.00392156862745098,
        "size": {"height": 32, "width": 32},
    },
    {
        "image_processor_type": "CLIPImageProcessor",
        "crop_size": {"height": 28, "width": 28},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_resize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3,
        "size": {"shortest_edge": 28},
    },
)


def prepare_graphs(folder: Path) -> Case:
    """Damage an ONNX file, load it and check it as every run does."""
    path = write_graph(folder)
    sound = path.read_bytes()

    def case(rng: random.Random) -> bool:
        path.write_bytes(damaged(sound, rng))
        backbone = load_backbone(spec(path), "cpu", "float32", offline=True)
        return bool(backbone.check())

    return case


def prepare_processors(folder: Path) -> Case:
    """Damage the settings of an image processor as values and as bytes."""
    import transformers

    transformers.logging.set_verbosity_error()

    def case(rng: random.Random) -> bool:
        settings = rng.choice(SETTINGS)
        if rng.random() < 0.7:
            text = json.dumps(damaged_values(settings, rng)).encode()
        else:
            text = damaged(json.dumps(settings).encode(), rng)
        (folder / "preprocessor_config.json").write_bytes(text)
        adopted = adopt(transformers, folder)
        assert adopted.geometry is not None or adopted.problem
        return not adopted.problem

    return case
