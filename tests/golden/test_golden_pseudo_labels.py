"""IAST's instance-adaptive pseudo labels end where the published program ends."""

import jax
import jax.numpy as jnp
import numpy as np
from support import golden

from labor_jax.train import pseudo_labels


def test_thresholds_and_counts_of_three_batches_are_the_published_ones():
    reference = golden.load("pseudo_label")
    with jax.enable_x64(True):
        thresholds = jnp.full(19, pseudo_labels.START, jnp.float64)
        for batch in range(3):
            logits = 4 * golden.rng(f"pseudo_logits{batch}").standard_normal((2, 19, 24, 40))
            logits[:, 12:16] -= 12
            probs = np.exp(logits - logits.max(1, keepdims=True))
            probs = (probs / probs.sum(1, keepdims=True)).astype(np.float16)
            confidence = jnp.asarray(probs.max(1), jnp.float64).ravel()
            predicted = jnp.asarray(probs.argmax(1), jnp.int32).ravel()
            thresholds = pseudo_labels.update_thresholds(
                thresholds, confidence, predicted, alpha=0.2, beta=0.9, gamma=8
            )
            np.testing.assert_allclose(thresholds, reference["thetas"][batch], rtol=1e-7)
            labels = pseudo_labels.pseudo_labels(confidence, predicted, thresholds)
            counts = np.bincount(np.asarray(labels), minlength=256)
            np.testing.assert_array_equal(counts, reference["label_counts"][batch])
