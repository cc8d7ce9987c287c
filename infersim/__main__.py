"""`python -m infersim` is `infersim`."""

from infersim.cli import main

if __name__ == "__main__":
    main()
