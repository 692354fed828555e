"""Makes transformers_dinov3*: a file of weights as `transformers` writes it, and its features.

    python tests/golden/make_transformers_dinov3.py tests/golden

Needs torch and transformers (made with 2.14.1 and 5.24.0), which the tests do not.
"""

import pathlib
import shutil
import sys

import numpy as np
import torch
import transformers

SIZE = (80, 112)


def main(out: pathlib.Path) -> None:
    """Writes the files."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.DINOv3ViTConfig(intermediate_size=96, num_register_tokens=4, **sizes)
    model = transformers.DINOv3ViTModel(config).eval()
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    scaled = ((image / 255 - mean) / deviation).transpose(2, 0, 1)[None]
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.add_(0.3 * torch.randn_like(tensor))
        seen = model(torch.tensor(scaled, dtype=torch.float32)).last_hidden_state
    model.save_pretrained(out / "v3")
    shutil.move(out / "v3" / "model.safetensors", out / "transformers_dinov3.safetensors")
    shutil.rmtree(out / "v3")
    np.savez_compressed(out / "transformers_dinov3.npz", tokens=seen[0].numpy())


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
