"""Running a model file: one contract (`engine.py`), one module an engine."""
