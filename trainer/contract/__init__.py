"""The border: what crosses between trainer, launcher and datagen. Standard library and pydantic only."""
