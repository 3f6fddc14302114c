"""What libraries say of memory and of GPUs is recognised, and becomes one sentence."""

from __future__ import annotations

import pytest
import torch

from regrow.errors import DEVICE, MEMORY, DataError, RegrowError, in_a_sentence, sentence_of, trouble_of

ASYNCHRONOUS = ("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be asynchronously "
                "reported at some other API call, so the stacktrace below might be incorrect.")


@pytest.mark.parametrize(("error", "kind"), [
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."), MEMORY),
    (torch.AcceleratorError("CUDA error: out of memory"), MEMORY),
    (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), MEMORY),
    (RuntimeError("CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), MEMORY),
    (RuntimeError("NVML_SUCCESS == r INTERNAL ASSERT FAILED at CUDACachingAllocator.cpp"), MEMORY),
    (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried"), MEMORY),
    (MemoryError(), MEMORY),
    (torch.AcceleratorError("unspecified launch failure"), DEVICE),
    (RuntimeError(ASYNCHRONOUS), DEVICE),
    (RuntimeError("CUDA error: device-side assert triggered"), DEVICE),
    (RuntimeError("CUDA driver error: unknown error"), DEVICE),
    (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), DEVICE),
    (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle)`"), DEVICE),
    (RuntimeError("Triton Error [CUDA]: an illegal memory access was encountered"), DEVICE),
    (RuntimeError("Expected all tensors to be on the same device, but found cuda:0 and cpu!"), ""),
    (ValueError("error in the shape"), ""),
    (DataError("cuda.npz is truncated: an error of CUDA, says its name"), ""),
], ids=lambda value: str(value)[:40])
def test_troubles_are_told_from_mistakes(error: Exception, kind: str) -> None:
    assert trouble_of(error) == kind


def test_the_errors_behind_an_error_count() -> None:
    """As torch.compile and the check of a user's rule wrap them."""
    try:
        try:
            raise RuntimeError(ASYNCHRONOUS)
        except RuntimeError as error:
            raise RegrowError("The rule failed.") from error
    except RegrowError as error:
        assert trouble_of(error) == DEVICE
    try:
        try:
            raise torch.OutOfMemoryError("CUDA out of memory")
        except RuntimeError:
            raise ValueError("meanwhile") from None
    except ValueError as error:
        assert trouble_of(error) == ""


@pytest.mark.parametrize(("error", "named"), [
    (torch.OutOfMemoryError("CUDA out of memory.\nTried to"), "these 16 runs together"),
    (RuntimeError(ASYNCHRONOUS), "(CUDA error: an illegal memory access was encountered)")])
def test_one_sentence_with_its_remedy(error: Exception, named: str) -> None:
    sentence = sentence_of(error, "cuda:1", 16)
    assert named in sentence and "\n" not in sentence and "same command again" in sentence and sentence.endswith(".")
    with pytest.raises(RegrowError) as caught, in_a_sentence("cuda:1", 16):
        raise error
    assert str(caught.value) == sentence and caught.value.__cause__ is error


def test_other_errors_go_through() -> None:
    with pytest.raises(ZeroDivisionError), in_a_sentence("cpu", 1):
        raise ZeroDivisionError
    assert "--jobs" in sentence_of(MemoryError(), "cpu", 1)
