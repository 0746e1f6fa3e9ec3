"""Training of USDRL models: what runs on the workstation. Imports usdrl_ros, is never imported by it."""
