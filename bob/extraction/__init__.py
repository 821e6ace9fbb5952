"""From images to features: every image is decoded once for all backbones of a pass."""
