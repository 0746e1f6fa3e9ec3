"""The tasks of USDRL, each a command: `python -m training.tasks.NAME CONFIG`."""
