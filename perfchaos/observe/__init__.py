"""Series beside the recording: what the dependencies say of themselves while the run lasts."""

from perfchaos.observe.sampler import Reading, Sampler, readings

__all__ = ["Reading", "Sampler", "readings"]
