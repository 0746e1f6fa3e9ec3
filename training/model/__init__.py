"""The USDRL network: modalities, encoders (DSTE, STTR), heads, and the authors' weights."""
