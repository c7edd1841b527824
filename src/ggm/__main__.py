"""``python -m ggm`` is the command ``ggm``."""

from ggm.serving.cli import main

if __name__ == "__main__":
    main()
