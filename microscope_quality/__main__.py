"""``python -m microscope_quality`` is the command line."""

from microscope_quality.cli import main

if __name__ == "__main__":
    main()
