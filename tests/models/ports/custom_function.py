"""Derivatives of one's own in modules, hooks on tensors and modules, weights drawn by kind."""

import numpy as np

import intaglio as torch
from intaglio import nn
from intaglio.autograd import Function, gradcheck


class Binarize(Function):
    @staticmethod
    def forward(ctx, input):
        ctx.save_for_backward(input)
        return input.sign()

    @staticmethod
    def backward(ctx, grad_output):
        (input,) = ctx.saved_tensors
        grad_input = grad_output.clone()
        grad_input[input.abs() > 1] = 0
        return grad_input


class ScaledExp(Function):
    @staticmethod
    def forward(ctx, i, scale):
        result = (i * scale).exp()
        ctx.save_for_backward(result)
        ctx.scale = scale
        return result

    @staticmethod
    def backward(ctx, grad_output):
        (result,) = ctx.saved_tensors
        return grad_output * result * ctx.scale, None


class LinearFunction(Function):
    @staticmethod
    def forward(ctx, input, weight, bias=None):
        ctx.save_for_backward(input, weight, bias)
        output = input.mm(weight.t())
        if bias is not None:
            output += bias.unsqueeze(0).expand_as(output)
        return output

    @staticmethod
    def backward(ctx, grad_output):
        input, weight, bias = ctx.saved_tensors
        grad_input = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_input = grad_output.mm(weight)
        if ctx.needs_input_grad[1]:
            grad_weight = grad_output.t().mm(input)
        if bias is not None and ctx.needs_input_grad[2]:
            grad_bias = grad_output.sum(0)
        return grad_input, grad_weight, grad_bias


class MyLinear(nn.Module):
    def __init__(self, input_features, output_features, bias=True):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(output_features, input_features))
        if bias:
            self.bias = nn.Parameter(torch.empty(output_features))
        else:
            self.register_parameter("bias", None)
        nn.init.uniform_(self.weight, -0.1, 0.1)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -0.1, 0.1)

    def forward(self, input):
        return LinearFunction.apply(input, self.weight, self.bias)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = MyLinear(4, 8), MyLinear(8, 8, bias=False)
        self.norm, self.last = nn.LayerNorm(8), nn.Linear(8, 1)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight, gain=nn.init.calculate_gain("relu"))
                nn.init.zeros_(module.bias)
            elif isinstance(module, MyLinear):
                nn.init.orthogonal_(module.weight)

    def forward(self, x):
        x = Binarize.apply(self.first(x))
        x = ScaledExp.apply(self.second(x), 0.2)
        return self.last(self.norm(x))


def main(tools):
    rng = np.random.default_rng(19)
    model = tools.start(Net())
    x = torch.tensor(rng.normal(size=(32, 4)))
    y = x.prod(dim=1, keepdim=True)
    sample = torch.tensor(rng.normal(size=(3, 4)), requires_grad=True)
    weight = torch.tensor(rng.normal(size=(2, 4)), requires_grad=True)
    assert gradcheck(LinearFunction.apply, (sample, weight), eps=1e-6, atol=1e-4)
    norms, gradients = {}, []
    model.norm.register_full_backward_hook(
        lambda module, grad_input, grad_output: norms.update(norm=grad_output[0].norm().item())
    )
    model.first.weight.register_hook(lambda grad: grad.clamp(-0.5, 0.5))
    optimizer = torch.optim.RAdam(model.parameters(), lr=0.02)
    losses = []
    for k in range(12):
        h = model.first(x)
        h.register_hook(lambda grad: gradients.append(grad.abs().sum().item()))
        h.retain_grad()
        loss = (model.last(model.norm(ScaledExp.apply(Binarize.apply(h), 0.3))) - y).abs().mean()
        loss = loss + nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses += [loss.item(), norms["norm"], h.grad.norm().item(), gradients[-1]]
    return {"losses": losses}
