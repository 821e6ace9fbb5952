"""bob-bench: which pretrained vision backbone should I use?"""

__version__ = "0.1.0"
