"""`python -m service`: the same as `waybill`."""

from service.cli import main

main()
