"""Makes transformers_dinov2*: two files of weights as `transformers` writes them, and its features.

    python tests/golden/make_transformers_dinov2.py tests/golden

Needs torch and transformers (made with 2.14.1 and 5.24.0), which the tests do not.
"""

import pathlib
import shutil
import sys

import numpy as np
import torch
import transformers

KINDS = {
    "plain": (transformers.Dinov2Config, transformers.Dinov2Model, {}),
    "reg": (
        transformers.Dinov2WithRegistersConfig,
        transformers.Dinov2WithRegistersModel,
        {"num_register_tokens": 4},
    ),
}
WAVES = 3  # along each side of an image


def main(out: pathlib.Path) -> None:
    """Writes the files."""
    image = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    scaled = ((image / 255 - mean) / deviation).transpose(2, 0, 1)[None]
    tokens = {}
    for name, (config, network, more) in KINDS.items():
        torch.manual_seed(0)
        sizes = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2}
        model = network(config(image_size=518, patch_size=14, **sizes, **more)).eval()
        with torch.no_grad():
            for tensor in model.parameters():
                tensor.add_(0.3 * torch.randn_like(tensor))
            # Trained positions are smooth, and so are these.
            at = torch.arange(37) / 36 * torch.pi
            along = torch.stack([(wave * at).cos() for wave in range(WAVES)])
            waves = torch.einsum("iy,jx->ijyx", along, along).reshape(WAVES**2, -1)
            positions = model.embeddings.position_embeddings
            positions[0, 1:] = 0.3 * waves.T @ torch.randn(WAVES**2, 12)
            seen = model(torch.tensor(scaled, dtype=torch.float32)).last_hidden_state
        tokens[name] = seen[0, -256:].numpy()  # the patches, without class and registers
        model.save_pretrained(out / name)
        shutil.move(
            out / name / "model.safetensors", out / f"transformers_dinov2_{name}.safetensors"
        )
        shutil.rmtree(out / name)
    np.savez_compressed(out / "transformers_dinov2.npz", **tokens)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
