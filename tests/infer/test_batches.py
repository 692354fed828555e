"""Every image once, in order, in batches that the networks can take."""

import numpy as np

from labor_jax.data.domain import Domain
from labor_jax.infer.batches import inference_batches

SIZE = (8, 10)


def drawn(count):
    """Images whose number can be read off their first pixel; their labels must not be read."""

    def read_image(index):
        draw = np.random.default_rng(index)
        image = draw.integers(0, 255, (*SIZE, 3)).astype(np.uint8)
        image[0, 0] = index
        return image

    def refuse(index):
        raise AssertionError(f"the label of image {index} was read")

    return Domain("streets", tuple(map(str, range(count))), read_image, refuse)


def test_inference_goes_through_all_images_once_in_order():
    found = list(inference_batches(drawn(6), SIZE, 4))
    assert [indices for indices, _, _ in found] == [[0, 1, 2, 3], [4, 5]]
    for indices, size, images in found:
        assert size == SIZE and images.shape == (len(indices), *SIZE, 3)
        assert images[:, 0, 0, 0].tolist() == indices


def test_a_batch_for_inference_has_one_native_size():
    sizes = [(8, 10), (8, 10), (16, 20), (8, 10)]
    domain = Domain("x", tuple("abcd"), lambda i: np.full((*sizes[i], 3), i, np.uint8), None)
    found = list(inference_batches(domain, (8, 10), 4))
    assert [indices for indices, _, _ in found] == [[0, 1], [2], [3]]
    assert [size for _, size, _ in found] == [(8, 10), (16, 20), (8, 10)]
    assert all(images.shape[1:] == (8, 10, 3) for _, _, images in found)
