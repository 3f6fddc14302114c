"""Generators: one per purpose, stateless, and apart from torch's global one."""

import pytest
import torch

from regrow.determinism import generator, tensor_float


def _draw(*key):
    return torch.rand(4, generator=generator(*key)).tolist()


def test_the_same_key_gives_the_same_numbers():
    assert _draw("order", 3, 7) == _draw("order", 3, 7)


def test_purpose_seed_and_counter_each_matter():
    keys = [("order", 1, 2), ("mask", 1, 2), ("order", 2, 2), ("order", 1, 3), ("order", 12, 0), ("order", 1, 20)]
    assert len({tuple(_draw(*key)) for key in keys}) == len(keys)


def test_the_stream_is_the_published_one():
    """Guards records against a silent change of the seeding: 63 bits of sha256('order/0/0')."""
    assert generator("order", 0).initial_seed() == 5279783570985387186


def test_the_global_generator_is_neither_used_nor_moved():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = _draw("init", 0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert _draw("init", 0) == first


def _flags():
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("allowed", [False, True])
def test_tf32_is_what_is_asked_for_on_a_gpu_and_afterwards_what_it_was(allowed):
    before = _flags()
    assert before == (False, True)  # PyTorch's own choice
    with tensor_float(torch.device("cuda:1"), allowed):
        assert _flags() == (allowed, allowed)
    assert _flags() == before
    with pytest.raises(KeyError), tensor_float(torch.device("cuda"), allowed):
        raise KeyError
    assert _flags() == before
    with tensor_float(torch.device("cpu"), allowed):
        assert _flags() == before
