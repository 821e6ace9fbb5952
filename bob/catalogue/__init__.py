"""Generated documentation: tables of the registered backbones and datasets."""
