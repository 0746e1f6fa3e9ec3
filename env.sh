# Enter the environment that `make build` made: ROS 2 (the sourced one, or that of .venv) and this package, built.
#
#     source env.sh        from bash or zsh, in any directory; to leave: close the shell

if [ -n "${ZSH_VERSION:-}" ]; then
    eval '_usdrl_root="${${(%):-%x}:A:h}"' && _usdrl_shell=zsh
else
    _usdrl_root="$(cd "$(dirname "${BASH_SOURCE[0]}")" > /dev/null && pwd -P)" && _usdrl_shell=bash
fi

if [ ! -f "$_usdrl_root/.venv/bin/activate" ] || [ ! -f "$_usdrl_root/install/.built" ]; then
    echo "usdrl_ros is not built yet. First: make -C '$_usdrl_root' build" >&2
    unset _usdrl_root _usdrl_shell
    return 1
fi

# The scripts below read variables that need not exist; a shell under `set -u` gets its setting back.
case $- in *u*) _usdrl_nounset=1; set +u ;; esac

. "$_usdrl_root/.venv/bin/activate"
if [ -d "$VIRTUAL_ENV/share/rclpy" ]; then # ROS 2 from PyPI: the virtual environment is its prefix
    export AMENT_PREFIX_PATH="$VIRTUAL_ENV" CMAKE_PREFIX_PATH="$VIRTUAL_ENV"
else # the sourced `ros2` runs on the system's Python: it loads our launch files, which need what .venv has
    for _usdrl_site in "$VIRTUAL_ENV"/lib/python3*/site-packages; do
        export PYTHONPATH="$_usdrl_site${PYTHONPATH:+:$PYTHONPATH}"
    done
    unset _usdrl_site
fi
if [ -f "$_usdrl_root/install/setup.$_usdrl_shell" ]; then
    . "$_usdrl_root/install/setup.$_usdrl_shell"
else # this colcon lacks the extension of the shell
    . "$_usdrl_root/install/setup.sh"
fi

if [ -n "${_usdrl_nounset:-}" ]; then set -u; fi
unset _usdrl_root _usdrl_shell _usdrl_nounset
