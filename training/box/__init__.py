"""How good the shipped model is: what `training.evaluate_box` measures."""
