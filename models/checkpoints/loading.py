"""Public-name weights into a model in memory."""

from collections.abc import Mapping

from torch import Tensor

from core.errors import AnimaticError
from models.animator import Animator
from models.encoders.vae import from_ldm, to_ldm
from models.encoders.vae_codec import VaeCodec
from models.network import parameter_names
from models.state_dict_diff import compare, shapes_of


def load(animator: Animator, state: Mapping[str, Tensor]) -> None:
    """Copy weights under public key names into UNet, query transformer and, where it has one, autoencoder.

    Args:
        state: exactly the tensors of these parts, in any floating type.

    Raises:
        AnimaticError: listing tensors that are missing, unexpected or of another shape; ``animator`` is then
            unchanged.
    """
    network = parameter_names.public_state(animator.network)
    vae = animator.codec.vae if isinstance(animator.codec, VaeCodec) else None
    frozen = to_ldm(vae) if vae is not None else {}
    problems = compare(shapes_of(state), shapes_of({**network, **frozen}))
    if problems:
        raise AnimaticError(f"the weights do not fit the architecture: {problems}")
    parameter_names.load(animator.network, {key: state[key] for key in network})
    if vae is not None:
        vae.load_state_dict(from_ldm(vae, {key: state[key] for key in frozen}))
