"""Recurrent networks: an LSTM over sequences, and a training step of a character LSTM."""

from typing import Any

import numpy as np

from benchmarks.char_transformer import corpus
from benchmarks.frameworks import Framework, Step

SIZE, STEPS, SEQUENCES = 256, 64, 16
WIDTH, LAYERS, LENGTH, BATCH = 128, 2, 64, 32


def lstm(fw: Framework) -> Step:
    """An LSTM of 256 states over 64 steps of 16 sequences, forward only."""

    class Results(fw.nn.Module):  # type: ignore[misc, name-defined]  # the base is chosen at run time
        def __init__(self) -> None:
            super().__init__()
            self.lstm = fw.nn.LSTM(SIZE, SIZE)

        def forward(self, x: Any) -> Any:
            return self.lstm(x)[0]

    model = Results().eval()
    fw.fill(model, seed=0)
    x = np.random.default_rng(1).standard_normal((STEPS, SEQUENCES, SIZE)).astype(np.float32)

    def forward(x: Any) -> Any:
        with fw.no_grad():
            return model(x)

    return Step(forward, (x,), model)


def lstm_char_train(fw: Framework) -> Step:
    """Forward, cross entropy, backward and Adam of two layers of 128 on 32 x 64 characters."""
    codes, letters = corpus()
    starts = np.random.default_rng(0).integers(0, len(codes) - LENGTH - 1, BATCH)
    window = np.stack([codes[i : i + LENGTH + 1] for i in starts])

    class LanguageModel(fw.nn.Module):  # type: ignore[misc, name-defined]  # the same
        def __init__(self) -> None:
            super().__init__()
            self.embedding = fw.nn.Embedding(letters, WIDTH)
            self.lstm = fw.nn.LSTM(WIDTH, WIDTH, LAYERS, batch_first=True)
            self.head = fw.nn.Linear(WIDTH, letters)

        def forward(self, x: Any) -> Any:
            return self.head(self.lstm(self.embedding(x))[0])

    model = LanguageModel()
    fw.fill(model, seed=0)
    optimizer = fw.optim.Adam(model.parameters(), lr=1e-3)

    def train_step(x: Any, t: Any) -> Any:
        optimizer.zero_grad()
        logits = model(x).reshape(-1, letters)
        loss = fw.functional.cross_entropy(logits, t.reshape(-1))
        loss.backward()
        optimizer.step()
        return loss

    return Step(train_step, (window[:, :-1].copy(), window[:, 1:].copy()))
