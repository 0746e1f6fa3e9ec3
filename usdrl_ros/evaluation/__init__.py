"""How good recognition is on bags with truth, and what it missed: `ros2 run usdrl_ros evaluate` and `annotate`.

`options` says how bags are evaluated, `run` runs the library over one, `batch` over many. `metrics`
compares events with true actions; `report`, `tables` and `document` show the result to people and
programs. `command` is the tool.
"""
