"""Understand what the people around a robot are doing, from skeletons alone (USDRL, Wang et al., TPAMI 2025)."""

import pkgutil

# The source tree and the install space hold one package: run from the repository's root, Python finds this source, and
# the generated usdrl_ros.msg lies beside it in the install space.
__path__ = pkgutil.extend_path(__path__, __name__)

__version__ = "0.1.0"
