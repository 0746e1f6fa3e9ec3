"""The USDRL network: encoder (`dste.py`), input modalities and heads (`usdrl.py`), the authors' weights (`weights.py`)."""
