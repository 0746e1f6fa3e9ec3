"""The plain encoder against PyTorch's transformer."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch import nn  # noqa: E402

from training.model.encoder import sinusoids, spatial_tokens, temporal_tokens  # noqa: E402
from training.model.sttr import STTR  # noqa: E402


@pytest.mark.parametrize("attention", ["full", "causal"])
@pytest.mark.parametrize("heads", [1, 2])
def test_is_a_transformer_of_pytorch(heads: int, attention: str) -> None:
    torch.manual_seed(0)
    ours = STTR(width=16, heads=heads, frames=20, joints=17, people=1, attention=attention).double()
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    x = torch.randn(2, 3, 20, 17, 1, dtype=torch.float64)
    positions = sinusoids(20, 16).double(), ours.spatial.position
    for index, (stream, tokens) in enumerate((("temporal", temporal_tokens(x)), ("spatial", spatial_tokens(x)))):
        layer = nn.TransformerEncoderLayer(16, heads, 16, dropout=0.0, batch_first=True, dtype=torch.float64)
        theirs = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        theirs.load_state_dict(
            {
                key.replace("attention.", "self_attn.").replace("in_proj.", "in_proj_"): value
                for key, value in getattr(ours, stream).layers.state_dict(prefix="layers.").items()
            }
        )
        mask = None
        if attention == "causal" and stream == "temporal":
            mask = nn.Transformer.generate_square_subsequent_mask(20, dtype=torch.float64)
        embedded = getattr(ours, f"{stream}_embedding")["joint"](tokens)
        torch.testing.assert_close(ours({"joint": x})[index], theirs(embedded + positions[index], mask=mask))
