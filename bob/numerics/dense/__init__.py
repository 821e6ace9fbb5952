"""Dense prediction on feature maps: targets per cell of a grid, and predictions per pixel."""
