"""From scores to events: one posterior a person on a fixed time grid (`timeline.py`), and its decoding (`events.py`)."""
