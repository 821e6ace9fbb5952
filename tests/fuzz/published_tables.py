"""External tables of published results."""

import random
from pathlib import Path

import numpy as np

from bob.leaderboards.published import read_published
from tests.builders.published_table import MRR
from tests.fuzz.mutate import damaged, damaged_text
from tests.fuzz.target import Case

TIDY = """backbone,task,dataset,metric,value
resnet50,linear,elpv,top1,0.812
vit_b16,linear,elpv,top1,0.851
vit_b16,knn,elpv,top1,71.2
"""
TIMM = """model,img_size,top1,top1_err,top5,top5_err,param_count,crop_pct,interpolation
eva_large,448,88.6,11.4,98.7,1.3,305.08,1.0,bicubic
resnet50,224,80.1,19.9,95.0,5.0,25.56,0.95,bilinear
resnet50,288,80.9,19.1,95.4,4.6,25.56,1.0,bilinear
"""
RANKED = """Rank,Model,Food101,Pets,Average
1,clip,95.1 ± 0.2,96.0%,95.5
2,dino,"1,234.5",-,88
"""


def prepare(folder: Path) -> Case:
    """Damage tables as text and as bytes; what is accepted has finite scores in range."""
    texts = [TIDY, TIMM, RANKED, MRR.read_text()]

    def case(rng: random.Random) -> bool:
        text = rng.choice(texts)
        if rng.random() < 0.3:
            text = damaged(text.encode(), rng).decode("utf-8", "replace")
        else:
            text = damaged_text(text, rng).encode("utf-8", "replace").decode()
        records, notes = read_published(text, "table.csv")
        assert all(isinstance(note, str) for note in notes)
        for record in records:
            assert record.backbone_name.strip(), "a backbone without a name"
            for score in record.scores:
                assert score.value is not None and np.isfinite(score.value)
                assert 0 <= score.value <= 1, f"score {score.value}"
        return True

    return case
