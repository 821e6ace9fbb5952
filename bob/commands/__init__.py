"""The commands of `bob-bench`: one module per command, each with a function `run(arguments)`."""
