"""Why an operation without a rule reaches every position, where its name tells.

Requirements: none.
"""

from __future__ import annotations

_STATISTICS = "its mean and variance are of all positions"
_STATE = "a state is handed on from one position to the next"
_ATTENTION = "every position is weighted against every other one"
_SPECTRUM = "every frequency has a part of every position"
_SUM = "a position depends on all positions before it"
#: By the class of a Keras layer or the name of an ATen operator.
REACH: dict[str, str] = {
    **dict.fromkeys(("GroupNormalization", "group_norm", "instance_norm"), _STATISTICS),
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional", "ConvLSTM1D"), _STATE),
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), _STATE),
    **dict.fromkeys(("MultiHeadAttention", "Attention", "AdditiveAttention"), _ATTENTION),
    **dict.fromkeys(("GroupQueryAttention", "scaled_dot_product_attention"), _ATTENTION),
    **dict.fromkeys(("fft_fft", "fft_ifft", "fft_rfft", "fft_irfft", "FFT", "RFFT"), _SPECTRUM),
    **dict.fromkeys(("cumsum", "cumprod", "logcumsumexp", "Cumsum", "Cumprod"), _SUM),
}


def no_rule(kind: str) -> str:
    """That there is no rule for a layer or operator, and why it is global if that is known."""
    why = REACH.get(kind)
    return f"no rule for {kind}" + (f": {why}" if why else "")
