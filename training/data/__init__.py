"""Readers of data sets, one module each, all giving `usdrl_ros.recording.Recording`."""
