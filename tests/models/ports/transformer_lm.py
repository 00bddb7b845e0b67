"""A language model of encoder layers: a buffer of positions, a causal mask, OneCycleLR, two groups
of weights, label smoothing, sampling."""

import math

import numpy as np

import intaglio as torch
import intaglio.nn as nn
from intaglio.nn import TransformerEncoder, TransformerEncoderLayer
from intaglio.optim.lr_scheduler import OneCycleLR


class PositionalEncoding(nn.Module):
    def __init__(self, d_model, dropout=0.0, max_len=64):
        super().__init__()
        self.dropout = nn.Dropout(p=dropout)
        position = torch.arange(max_len).unsqueeze(1)
        div_term = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
        pe = torch.zeros(1, max_len, d_model)
        pe[0, :, 0::2] = torch.sin(position * div_term)
        pe[0, :, 1::2] = torch.cos(position * div_term)
        self.register_buffer("pe", pe)

    def forward(self, x):
        return self.dropout(x + self.pe[:, : x.size(1)])


class TransformerModel(nn.Module):
    def __init__(self, ntoken, d_model, nhead, d_hid, nlayers, dropout=0.0):
        super().__init__()
        self.model_type = "Transformer"
        self.pos_encoder = PositionalEncoding(d_model, dropout)
        layer = TransformerEncoderLayer(d_model, nhead, d_hid, dropout, batch_first=True)
        self.transformer_encoder = TransformerEncoder(layer, nlayers)
        self.embedding = nn.Embedding(ntoken, d_model)
        self.d_model = d_model
        self.linear = nn.Linear(d_model, ntoken)
        self.init_weights()

    def init_weights(self):
        initrange = 0.1
        self.embedding.weight.data.uniform_(-initrange, initrange)
        self.linear.bias.data.zero_()
        self.linear.weight.data.uniform_(-initrange, initrange)

    def forward(self, src):
        src = self.embedding(src) * math.sqrt(self.d_model)
        src = self.pos_encoder(src)
        mask = nn.Transformer.generate_square_subsequent_mask(src.size(1)).to(src.dtype)
        return self.linear(self.transformer_encoder(src, mask, is_causal=True))


def groups_of(model, decay):
    """Weights of two dimensions and more decay; biases and norms don't."""
    wanted = [p for n, p in model.named_parameters() if p.requires_grad and p.dim() >= 2]
    rest = [p for n, p in model.named_parameters() if p.requires_grad and p.dim() < 2]
    return [{"params": wanted, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]


@torch.no_grad()
def generate(model, idx, count, temperature=1.0, top_k=3):
    model.eval()
    for _ in range(count):
        logits = model(idx)[:, -1, :] / temperature
        v, _ = torch.topk(logits, min(top_k, logits.size(-1)))
        logits[logits < v[:, [-1]]] = -float("Inf")
        probs = torch.nn.functional.softmax(logits, dim=-1)
        idx = torch.cat((idx, torch.multinomial(probs, num_samples=1)), dim=1)
    model.train()
    return idx


def main(tools):
    words, bptt, steps = 11, 12, 15
    rng = np.random.default_rng(5)
    text = torch.tensor((np.arange(400) * 3 + np.arange(400) // 7) % words)
    model = tools.start(TransformerModel(words, 16, 4, 32, 2))
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.AdamW(groups_of(model, 0.1), lr=1e-3, betas=(0.9, 0.95))
    scheduler = OneCycleLR(optimizer, max_lr=2e-2, total_steps=steps, pct_start=0.3)

    def step(x, y):
        optimizer.zero_grad(set_to_none=True)
        output = model(x)
        loss = criterion(output.view(-1, words), y.view(-1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        scheduler.step()
        return loss

    step, losses, rates = tools.compiled(step), [], []
    for _ in range(steps):
        ix = rng.integers(0, len(text) - bptt - 1, (8,))
        x = torch.stack([text[i : i + bptt] for i in ix])
        y = torch.stack([text[i + 1 : i + 1 + bptt] for i in ix])
        losses.append(step(x, y).item())
        rates.append(scheduler.get_last_lr()[0])
    made = generate(model, text[:5].unsqueeze(0), 6)
    assert made.shape == torch.Size([1, 11]) and int(made.max()) < words
    return {"losses": losses + rates}
