"""Autocast with CUDA's rules, emulated on the CPU: which functions run in low precision, which in float32, and which
refuse tensors of different precisions. The CPU's own rules are others, so that what passes there may fail on a GPU.

Lists: https://docs.pytorch.org/docs/stable/amp.html, "CUDA Ops that can autocast to ...".
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

LOW = {
    "__matmul__", "__rmatmul__", "addbmm", "addmm", "addmv", "addr", "baddbmm", "bmm", "chain_matmul", "multi_dot",
    "conv1d", "conv2d", "conv3d", "linear", "matmul", "mm", "mv", "prelu", "scaled_dot_product_attention", "einsum",
}  # fmt: skip
SINGLE = {
    "__pow__", "__rdiv__", "__rpow__", "__rtruediv__", "acos", "asin", "binary_cross_entropy_with_logits", "cosh",
    "cosine_embedding_loss", "cdist", "cosine_similarity", "cross_entropy", "cumprod", "cumsum", "dist", "erfinv",
    "exp", "expm1", "group_norm", "hinge_embedding_loss", "kl_div", "l1_loss", "layer_norm", "log", "log10",
    "log_softmax", "log1p", "log2", "logsumexp", "margin_ranking_loss", "mse_loss", "multilabel_margin_loss",
    "multi_margin_loss", "nll_loss", "norm", "normalize", "pdist", "poisson_nll_loss", "pow", "prod", "reciprocal",
    "rsqrt", "sinh", "smooth_l1_loss", "soft_margin_loss", "softmax", "softmin", "softplus", "sum", "renorm", "tan",
    "triplet_margin_loss", "logit",
}  # fmt: skip
WIDEST = {
    "addcdiv", "addcmul", "atan2", "bilinear", "cross", "dot", "grid_sample", "index_put", "scatter_add", "tensordot",
}  # fmt: skip
ONE_PRECISION = {
    "stack", "cat", "concat", "concatenate", "hstack", "vstack", "lerp", "hypot", "scatter", "index_add", "index_copy",
    "linalg_cross",
}  # fmt: skip
"""Functions that take tensors of one precision only; the strictest that any supported PyTorch is on CUDA."""


class MixedPrecisionError(TypeError):
    """A function got tensors of different precisions, which CUDA refuses."""


class CudaAutocast(TorchFunctionMode):
    """Applies CUDA's rules of autocast wherever `torch.autocast("cpu", ...)` is on.

    Args:
        dtype: The low precision.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype
        self._stack = ExitStack()

    def __enter__(self) -> CudaAutocast:
        # The CPU's autocast only switches ours on and off: it is off itself wherever a function runs.
        self._stack.enter_context(torch.autocast("cpu", torch.bfloat16))
        super().__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        super().__exit__(*details)
        self._stack.close()

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(function, "__name__", "")
        if not torch.is_autocast_enabled("cpu") or name in ("__get__", "__set__", "backward"):
            return function(*args, **kwargs)
        if name in LOW:
            args, kwargs = _cast((args, kwargs), self._dtype)
        elif name in SINGLE:
            args, kwargs = _cast((args, kwargs), torch.float32)
        elif name in WIDEST:
            widest = torch.float32 if torch.float32 in _precisions((args, kwargs)) else self._dtype
            args, kwargs = _cast((args, kwargs), widest)
        elif name in ONE_PRECISION and len(_precisions((args, kwargs))) > 1:
            found = " and ".join(sorted(str(dtype) for dtype in _precisions((args, kwargs))))
            raise MixedPrecisionError(f"torch.{name} of {found}")
        if name in ("autocast", "__init__"):
            return function(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            return function(*args, **kwargs)


def _cast(values: Any, dtype: torch.dtype) -> Any:
    def cast(value: Any) -> Any:
        low = isinstance(value, Tensor) and value.dtype in (torch.float32, torch.bfloat16, torch.float16)
        return value.to(dtype) if low else value

    return tree_map(cast, values)


def _precisions(values: Any) -> set[torch.dtype]:
    found: set[torch.dtype] = set()

    def look(value: Any) -> Any:
        if isinstance(value, Tensor) and value.is_floating_point() and value.ndim:
            found.add(value.dtype)
        return value

    tree_map(look, values)
    return found
