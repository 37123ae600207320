"""What is known of the sound beside the singer, and how it is taken out of the microphone."""

from rt_melody.realtime.reference.cancelling import BandCanceller

__all__ = ["BandCanceller"]
