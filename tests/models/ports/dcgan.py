"""Two networks against each other: transposed convolutions, two optimizers, `detach`, `apply`."""

import numpy as np

import intaglio as torch
import intaglio.nn as nn
import intaglio.optim as optim


def weights_init(m):
    classname = m.__class__.__name__
    if classname.find("Conv") != -1:
        nn.init.normal_(m.weight.data, 0.0, 0.02)
    elif classname.find("BatchNorm") != -1:
        nn.init.normal_(m.weight.data, 1.0, 0.02)
        nn.init.constant_(m.bias.data, 0)


class Generator(nn.Module):
    def __init__(self, nz=8, ngf=8, nc=1):
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(nz, ngf * 2, 4, 1, 0, bias=False),
            nn.BatchNorm2d(ngf * 2),
            nn.ReLU(True),
            nn.ConvTranspose2d(ngf * 2, ngf, 4, 2, 1, bias=False),
            nn.BatchNorm2d(ngf),
            nn.ReLU(True),
            nn.Conv2d(ngf, nc, 3, 1, 1, bias=False),
            nn.Tanh(),
        )

    def forward(self, input):
        return self.main(input)


class Discriminator(nn.Module):
    def __init__(self, ndf=8, nc=1):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(nc, ndf, 4, 2, 1, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf, ndf * 2, 4, 2, 1, bias=False),
            nn.BatchNorm2d(ndf * 2),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf * 2, 1, 2, 1, 0, bias=False),
        )

    def forward(self, input):
        return self.main(input).view(-1)


def main(tools):
    real_label, fake_label, nz = 1.0, 0.0, 8
    netG, netD = Generator(nz), Discriminator()
    netG.apply(weights_init)
    netD.apply(weights_init)
    assert abs(netG.main[1].weight.mean().item() - 1) < 0.1
    netG, netD = tools.start(netG, 1), tools.start(netD, 2)
    criterion = nn.BCEWithLogitsLoss()
    optimizerD = optim.Adam(netD.parameters(), lr=0.002, betas=(0.5, 0.999))
    optimizerG = optim.Adam(netG.parameters(), lr=0.002, betas=(0.5, 0.999))
    rng = np.random.default_rng(0)

    def step(real_cpu, noise):
        # (1) Update D network: maximize log(D(x)) + log(1 - D(G(z)))
        netD.zero_grad()
        b_size = real_cpu.size(0)
        label = torch.full((b_size,), real_label, dtype=real_cpu.dtype, device=real_cpu.device)
        output = netD(real_cpu)
        errD_real = criterion(output, label)
        errD_real.backward()
        fake = netG(noise)
        label.fill_(fake_label)
        output = netD(fake.detach()).view(-1)
        errD_fake = criterion(output, label)
        errD_fake.backward()
        errD = errD_real + errD_fake
        optimizerD.step()
        # (2) Update G network: maximize log(D(G(z)))
        netG.zero_grad()
        label.fill_(real_label)
        output = netD(fake)
        errG = criterion(output, label)
        errG.backward()
        optimizerG.step()
        return errD, errG, output.sigmoid().mean()

    step = tools.compiled(step)
    losses = []
    for i in range(12):
        ramp = np.linspace(-1, 1, 8)[None, None, :, None] * rng.choice([-1.0, 1.0], (16, 1, 1, 1))
        real = torch.tensor(np.tanh(ramp + rng.normal(0, 0.1, (16, 1, 8, 8))))
        noise = torch.tensor(rng.standard_normal((16, nz, 1, 1)))
        errD, errG, D_G_z = step(real, noise)
        print(
            "[%d]\tLoss_D: %.4f\tLoss_G: %.4f\tD(G(z)): %.4f" % (i, errD.item(), errG.item(), D_G_z)
        )
        losses += [errD.item(), errG.item()]
    with torch.no_grad():
        fixed = netG(torch.randn(4, nz, 1, 1, dtype=torch.float64)).detach().cpu()
    assert fixed.numpy().shape == (4, 1, 8, 8)
    return {"losses": losses}
