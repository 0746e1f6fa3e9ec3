"""The USDRL network: encoder (`dste.py`), modalities and heads (`usdrl.py`), the authors' weights (`weights.py`)."""
