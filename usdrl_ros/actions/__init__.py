"""From scores to events: one posterior a person (`timeline.py`), and its decoding (`events.py`)."""
