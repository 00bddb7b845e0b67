"""A decoder-only transformer of GPT-2's shape (Radford and others, 2019) as people write it for
torch. Only its imports are other ones."""

import inspect
import math
from dataclasses import dataclass

import intaglio as torch
import intaglio.nn as nn
from intaglio.nn import functional as F


@dataclass
class Config:
    """Sizes and options."""

    vocabulary: int = 65
    context: int = 32
    layers: int = 2
    heads: int = 4
    width: int = 32
    dropout: float = 0.0
    bias: bool = True
    fused: bool = True


class Norm(nn.Module):
    """Layer norm with an optional bias."""

    def __init__(self, width, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    def forward(self, x):
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)


class SelfAttention(nn.Module):
    """Each token looks back over those before it."""

    def __init__(self, config):
        super().__init__()
        assert config.width % config.heads == 0
        self.heads, self.width, self.dropout = config.heads, config.width, config.dropout
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=config.bias)
        self.project = nn.Linear(config.width, config.width, bias=config.bias)
        self.drop_weights = nn.Dropout(config.dropout)
        self.drop = nn.Dropout(config.dropout)
        self.fused = config.fused and hasattr(torch.nn.functional, "scaled_dot_product_attention")
        visible = torch.tril(torch.ones(config.context, config.context))
        self.register_buffer(
            "visible", visible.view(1, 1, config.context, config.context), persistent=False
        )

    def forward(self, x):
        B, T, C = x.size()
        q, k, v = self.qkv(x).split(self.width, dim=2)
        q = q.view(B, T, self.heads, C // self.heads).transpose(1, 2)  # B, heads, T, C / heads
        k = k.view(B, T, self.heads, C // self.heads).transpose(1, 2)
        v = v.view(B, T, self.heads, C // self.heads).transpose(1, 2)
        if self.fused:
            p = self.dropout if self.training else 0
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=None, dropout_p=p, is_causal=True)
        else:
            scores = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
            scores = scores.masked_fill(self.visible[:, :, :T, :T] == 0, float("-inf"))
            y = self.drop_weights(F.softmax(scores, dim=-1)) @ v
        y = y.transpose(1, 2).contiguous().view(B, T, C)
        return self.drop(self.project(y))


class Feedforward(nn.Module):
    """Two linear layers for every token alone."""

    def __init__(self, config):
        super().__init__()
        self.widen = nn.Linear(config.width, 4 * config.width, bias=config.bias)
        self.activation = nn.GELU()
        self.project = nn.Linear(4 * config.width, config.width, bias=config.bias)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x):
        return self.drop(self.project(self.activation(self.widen(x))))


class Block(nn.Module):
    """Attention and feedforward, each beside the identity."""

    def __init__(self, config):
        super().__init__()
        self.norm1 = Norm(config.width, bias=config.bias)
        self.attention = SelfAttention(config)
        self.norm2 = Norm(config.width, bias=config.bias)
        self.mlp = Feedforward(config)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        x = x + self.mlp(self.norm2(x))
        return x


class GPT(nn.Module):
    """The whole network: tokens i64[n,t] to logits f32[n,t,vocabulary], and a loss."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.transformer = nn.ModuleDict(
            dict(  # noqa: C408  # as people write it
                tokens=nn.Embedding(config.vocabulary, config.width),
                places=nn.Embedding(config.context, config.width),
                drop=nn.Dropout(config.dropout),
                blocks=nn.ModuleList([Block(config) for _ in range(config.layers)]),
                norm=Norm(config.width, bias=config.bias),
            )
        )
        self.head = nn.Linear(config.width, config.vocabulary, bias=False)
        self.transformer.tokens.weight = self.head.weight  # tied
        self.apply(self._start)
        for name, p in self.named_parameters():
            if name.endswith("project.weight"):
                torch.nn.init.normal_(p, mean=0.0, std=0.02 / math.sqrt(2 * config.layers))

    def _start(self, module):
        if isinstance(module, nn.Linear):
            torch.nn.init.normal_(module.weight, mean=0.0, std=0.02)
            if module.bias is not None:
                torch.nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            torch.nn.init.normal_(module.weight, mean=0.0, std=0.02)

    def count_parameters(self, without_places=True):
        count = sum(p.numel() for p in self.parameters())
        if without_places:
            count -= self.transformer.places.weight.numel()
        return count

    def forward(self, tokens, targets=None):
        device = tokens.device
        b, t = tokens.size()
        assert t <= self.config.context, f"{t} tokens, the context is {self.config.context}"
        places = torch.arange(0, t, dtype=torch.long, device=device)
        x = self.transformer.tokens(tokens) + self.transformer.places(places)
        x = self.transformer.drop(x)
        for block in self.transformer.blocks:
            x = block(x)
        x = self.transformer.norm(x)
        if targets is not None:
            logits = self.head(x)
            loss = F.cross_entropy(
                logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1
            )
        else:
            logits = self.head(x[:, [-1], :])  # only the last place, with its dim
            loss = None
        return logits, loss

    def shorten(self, context):
        assert context <= self.config.context
        self.config.context = context
        self.transformer.places.weight = nn.Parameter(self.transformer.places.weight[:context])
        for block in self.transformer.blocks:
            block.attention.visible = block.attention.visible[:, :, :context, :context]

    def optimizer(self, weight_decay, learning_rate, betas):
        named = {name: p for name, p in self.named_parameters() if p.requires_grad}
        decayed = [p for p in named.values() if p.dim() >= 2]
        others = [p for p in named.values() if p.dim() < 2]
        groups = [
            {"params": decayed, "weight_decay": weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        extra = {}
        if "fused" in inspect.signature(torch.optim.AdamW).parameters:
            extra["fused"] = False
        return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, **extra)

    @torch.no_grad()
    def generate(self, tokens, count, temperature=1.0, top_k=None, greedy=False):
        for _ in range(count):
            seen = (
                tokens
                if tokens.size(1) <= self.config.context
                else tokens[:, -self.config.context :]
            )
            logits, _ = self(seen)
            logits = logits[:, -1, :] / temperature
            if top_k is not None:
                best, _ = torch.topk(logits, min(top_k, logits.size(-1)))
                logits[logits < best[:, [-1]]] = -float("Inf")
            probabilities = F.softmax(logits, dim=-1)
            if greedy:
                _, following = torch.topk(probabilities, k=1, dim=-1)
            else:
                following = torch.multinomial(probabilities, num_samples=1)
            tokens = torch.cat((tokens, following), dim=1)
        return tokens


def learning_rate(step, *, top, low, warm, total):
    if step < warm:
        return top * (step + 1) / (warm + 1)
    if step > total:
        return low
    ratio = (step - warm) / (total - warm)
    return low + 0.5 * (1.0 + math.cos(math.pi * ratio)) * (top - low)


def batch(data, context, size, generator=None):
    starts = torch.randint(len(data) - context, (size,), generator=generator)
    x = torch.stack([data[i : i + context] for i in starts])
    y = torch.stack([data[i + 1 : i + 1 + context] for i in starts])
    return x, y


@torch.no_grad()
def estimate(model, batches):
    model.eval()
    losses = torch.zeros(len(batches))
    for k, (x, y) in enumerate(batches):
        _, loss = model(x, y)
        losses[k] = loss.item()
    model.train()
    return losses.mean()


def train(model, batches, *, accumulate=1, clip=1.0, top=1e-3):
    """Trains on the batches in order; the losses."""
    model.train()
    optimizer = model.optimizer(0.1, top, (0.9, 0.95))
    losses = []
    for step, (x, y) in enumerate(batches):
        lr = learning_rate(step, top=top, low=top / 10, warm=2, total=len(batches))
        for group in optimizer.param_groups:
            group["lr"] = lr
        total = 0.0
        for part_x, part_y in zip(x.chunk(accumulate), y.chunk(accumulate), strict=True):
            _, loss = model(part_x, part_y)
            loss = loss / accumulate
            loss.backward()
            total += loss.item()
        if clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(total)
    return losses
