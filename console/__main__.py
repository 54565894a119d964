"""`python -m console` is `moneyback`."""

from console.cli import main

main()
