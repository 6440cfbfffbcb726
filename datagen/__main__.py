"""`python -m datagen` is `datagen`."""

from datagen.cli import main
from trainer.contract.command.end_process import end_process

if __name__ == "__main__":
    end_process(main())
