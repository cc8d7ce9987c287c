"""A diffusion model: an image takes a fixed number of steps, and each step a fixed amount of work.

Nothing here depends on what came before, unlike a model of tokens (`model.py`): a step of B images does B times the
arithmetic of one and reads the weights once. Not here: what that takes on a chip (`infersim/cost/diffusion.py`).
"""

from infersim.spec.base import Dtype, Quantity, Ratio, Spec


class Diffusion(Spec):
    """One model of images of one size."""

    name: str
    """The name by which scenarios call it."""
    title: str
    """The name on the card."""
    source: str
    """Where the architecture was read."""
    parameters_b: Quantity
    """Parameters of the denoiser, read once in every step [1e9]."""
    other_parameters_b: Quantity
    """Parameters of text encoders and image decoder, in memory beside it [1e9]."""
    step_tflop: Quantity
    """Arithmetic of one step of one image, the pass without the prompt (classifier-free guidance) included [TFLOP]."""
    step_gb: Quantity
    """Activations that a step reads and writes for one image [GB]."""
    step_kernels: Quantity
    """Kernels of a step, however many images are in it."""
    image_tflop: Quantity
    """Arithmetic of one image beside its steps: reading the prompt, and decoding the image [TFLOP]."""
    image_gb: Quantity
    """Memory that one image of a batch takes [GB]."""
    rate_share: Ratio
    """Share of the rate of large matrix products that convolutions and attention reach."""
    native_dtype: Dtype = "fp16"
    """Dtype of the published weights."""
