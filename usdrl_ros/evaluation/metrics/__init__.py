"""How good recognised actions are: detection, segmentation, delays, calibration, with confidence intervals."""
