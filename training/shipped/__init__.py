"""How good the shipped model is: what `training.shipped.model_card` measures."""
