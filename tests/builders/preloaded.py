"""What a run imports and reads, which takes seconds: the fork server of `fresh_process` has it."""

import gc

import faiss
import pyarrow.pandas_compat
import scipy.stats
import sklearn.linear_model
import timm.data
import torch._dynamo
import torch.utils.flop_counter
import torchvision.transforms

import bob.commands.run
import bob.leaderboards.render.figures
from bob.backbones.pixels import kernels
from bob.registry import load_registry

LOADED = (
    bob.commands.run,
    bob.leaderboards.render.figures,
    faiss,
    kernels,
    pyarrow.pandas_compat,
    scipy.stats,
    sklearn.linear_model,
    timm.data,
    torch._dynamo,
    torch.utils.flop_counter,
    torchvision.transforms,
    load_registry(),  # which keeps what it parsed
)

gc.collect()
gc.freeze()  # what the programs share is not copied for each by their collectors
