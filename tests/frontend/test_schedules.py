"""Schedules: equal bits eagerly, compiled and in a program; state that is saved and continued; and
averages of weights."""

import copy

import numpy as np
import pytest

import intaglio as ig
from intaglio import nn, optim
from intaglio.optim import lr_scheduler, swa_utils
from tests.frontend.schedule_table import MADE, NAMES, PLATEAU, make, metric

COMPILED = [
    "lambda", "multiplicative-list", "step", "multistep-twice", "constant", "linear-down",
    "exponential", "polynomial-power", "cosine-low", "restarts-twice", "cyclic-two",
    "cyclic-function", "onecycle", "onecycle-three", "plateau", "plateau-abs", *MADE,
]  # fmt: skip


def made(kind="SGD"):
    ps = [ig.zeros(3, requires_grad=True), ig.zeros(2, requires_grad=True)]
    groups = [{"params": [ps[0]]}, {"params": [ps[1]], "lr": 0.02}]
    return getattr(optim, kind)(groups, lr=0.05, **({"momentum": 0.9} if kind == "SGD" else {}))


def numbers(opt, schedule):
    found = [t.item() for group in opt.param_groups for t in group.numbers().values()]
    return found + [t.item() for _, t, _ in schedule.named_state()]


def step_of(schedules):
    """Steps of several schedules as one function of the metric, so that they compile at once."""

    def step(m):
        for schedule in schedules:
            watches = isinstance(schedule, lr_scheduler.ReduceLROnPlateau)
            schedule.step(*([m] if watches else []))

    return step


def several():
    opts = [made("Adam" if k % 2 else "SGD") for k in range(len(COMPILED))]
    return opts, [make(n, lr_scheduler, o) for n, o in zip(COMPILED, opts, strict=True)]


def test_equal_bits_eagerly_compiled_and_in_a_program(tmp_path):
    runs = {}
    for way in ("eager", "jit", "program"):
        opts, schedules = several()
        step = step_of(schedules)
        if way == "jit":
            step = ig.jit(step)
        if way == "program":
            program = ig.Program().trace("schedule", step, ig.tensor(0.0, dtype=ig.float64))
            step = program.schedule
        seen = []
        for k in range(24):
            step(ig.tensor(metric(k), dtype=ig.float64))
            seen.append([numbers(o, s) for o, s in zip(opts, schedules, strict=True)])
        runs[way] = seen
        if way == "jit":
            assert step.compilations == 1
    for way in ("jit", "program"):
        for eager, other in zip(runs["eager"], runs[way], strict=True):
            for name, a, b in zip(COMPILED, eager, other, strict=True):
                assert a == b, (way, name)
    program.save(tmp_path / "schedules.ig")
    loaded = ig.load(str(tmp_path / "schedules.ig"))
    loaded.schedule(np.array(metric(24)))
    step(ig.tensor(metric(24), dtype=ig.float64))
    for name, value in program.state.items():
        np.testing.assert_array_equal(loaded.state[name], value)


def test_reset_and_continuing_in_a_program():
    opt = made()
    schedule = make("sequence-warm", lr_scheduler, opt)
    start = numbers(opt, schedule)
    program = ig.Program().trace("schedule", lambda: schedule.step())
    program.trace("init", lambda: schedule.reset())
    assert {"optim.groups.0.lr", "schedule.last_epoch", "schedule.1.last_epoch"} <= set(
        program.state
    )
    for _ in range(9):
        program.schedule()
    assert schedule.last_epoch == 9
    program.init()
    assert numbers(opt, schedule) == start


def stepped(name, opt, schedule, first, last):
    seen = []
    for k in range(first, last):
        schedule.step(*([metric(k)] if name in PLATEAU else []))
        seen.append(numbers(opt, schedule))
    return seen


@pytest.mark.parametrize("name", NAMES)
def test_state_is_continued_and_reset(name):
    opt = made()
    schedule = make(name, lr_scheduler, opt)
    start = numbers(opt, schedule)
    stepped(name, opt, schedule, 0, 13)
    kept = copy.deepcopy((opt.state_dict(), schedule.state_dict()))
    expected = stepped(name, opt, schedule, 13, 30)
    other = made()
    fresh = make(name, lr_scheduler, other)
    other.load_state_dict(kept[0])
    fresh.load_state_dict(kept[1])
    assert stepped(name, other, fresh, 13, 30) == expected
    schedule.reset()
    now = numbers(opt, schedule)
    assert now == start


def test_numbers_are_pythons_eagerly():
    opt = made()
    schedule = lr_scheduler.StepLR(opt, 2)
    schedule.step()
    assert schedule.last_epoch == 1 and isinstance(schedule.last_epoch, int)
    assert schedule.get_last_lr() == [0.05, 0.02] and type(schedule.get_last_lr()[0]) is float
    assert schedule.base_lrs == [0.05, 0.02] and schedule.get_lr() == [0.05, 0.02]
    assert opt.param_groups[1]["initial_lr"] == 0.02
    assert "StepLR" in repr(schedule)


def test_a_schedule_of_ones_own_traces():
    class Halving(lr_scheduler.LRScheduler):
        def get_lr(self):
            falls = self.last_epoch >= 2
            factor = ig.where(falls, 0.5, 1.0) if ig.is_tracing() else (0.5 if falls else 1.0)
            return [base * factor for base in self.base_lrs]

    runs = []
    for compiled in (False, True):
        schedule = Halving(made())
        step = ig.jit(lambda s=schedule: s.step()) if compiled else schedule.step
        rates = []
        for _ in range(4):
            step()
            rates.append(schedule.get_last_lr())
        runs.append(rates)
    assert runs[0] == runs[1] == [[0.05, 0.02], [0.025, 0.01], [0.025, 0.01], [0.025, 0.01]]


def test_a_function_that_branches_is_refused_in_a_trace():
    schedule = lr_scheduler.LambdaLR(made(), lambda e: 1.0 if e < 3 else 0.1)
    schedule.step()
    with pytest.raises(ig.TraceError, match="ig.where"):
        ig.trace(lambda: schedule.step())
    looked = lr_scheduler.LambdaLR(made(), lambda e, table=(1.0, 0.5, 0.25): table[e])
    looked.step()
    assert looked.get_last_lr() == [0.025, 0.01]


@pytest.mark.parametrize(
    ("kind", "options", "text"),
    [
        ("OneCycleLR", {"max_lr": 1.0}, "total_steps"),
        ("OneCycleLR", {"max_lr": [1.0], "total_steps": 5}, "2 groups"),
        ("OneCycleLR", {"max_lr": 1.0, "total_steps": 5, "pct_start": 2.0}, "pct_start"),
        ("OneCycleLR", {"max_lr": 1.0, "total_steps": 5, "anneal_strategy": "x"}, "linear"),
        ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0, "mode": "x"}, "triangular"),
        ("LinearLR", {"start_factor": 0.0}, "start_factor"),
        ("LinearLR", {"end_factor": 1.5}, "end_factor"),
        ("ConstantLR", {"factor": 1.5}, "factor"),
        ("ReduceLROnPlateau", {"factor": 1.0}, "factor"),
        ("ReduceLROnPlateau", {"mode": "low"}, "mode"),
        ("ReduceLROnPlateau", {"min_lr": [0.1]}, "min_lr"),
        ("CosineAnnealingWarmRestarts", {"T_0": 0}, "T_0"),
        ("CosineAnnealingWarmRestarts", {"T_0": 2, "T_mult": 0}, "T_mult"),
        ("LambdaLR", {"lr_lambda": [len]}, "lr_lambdas"),
    ],
)
def test_arguments_are_checked(kind, options, text):
    with pytest.raises(ig.ArgumentError, match=text):
        getattr(lr_scheduler, kind)(made(), **options)


def test_schedules_of_several_are_checked():
    opt, other = made(), made()
    one = lr_scheduler.StepLR(opt, 2)
    with pytest.raises(ig.ArgumentError, match="another optimizer"):
        lr_scheduler.SequentialLR(other, [one], [])
    with pytest.raises(ig.ArgumentError, match="milestone"):
        lr_scheduler.SequentialLR(opt, [one], [3])
    with pytest.raises(ig.ArgumentError, match="metric"):
        lr_scheduler.ChainedScheduler([one, lr_scheduler.ReduceLROnPlateau(opt)])
    with pytest.raises(ig.ArgumentError, match="none was given"):
        lr_scheduler.ChainedScheduler([])
    with pytest.raises(TypeError, match="Optimizer"):
        lr_scheduler.StepLR(None, 2)
    with pytest.raises(KeyError, match="initial_lr"):
        lr_scheduler.StepLR(made(), 2, last_epoch=3)
    with pytest.raises(ig.ArgumentError, match="metric"):
        lr_scheduler.ReduceLROnPlateau(opt).step()
    cycle = lr_scheduler.OneCycleLR(opt, 0.1, total_steps=2)
    cycle.step(), cycle.step()
    with pytest.raises(ig.ArgumentError, match="schedule of 2 steps"):
        cycle.step()
    assert cycle.last_epoch == 2


# ----------------------------------------------------------------------------------------- averages


def network():
    ig.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))


def averaging(kind, compiled):
    model = network()
    options = {
        "swa": {},
        "ema": {"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.9)},
        "ema-one": {"avg_fn": swa_utils.get_ema_avg_fn(0.9), "use_buffers": True},
    }[kind]
    averaged = swa_utils.AveragedModel(model, **options)
    opt = optim.SGD(model.parameters(), lr=0.1)
    schedule = lr_scheduler.ExponentialLR(opt, 0.9)

    def train_step(x):
        opt.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        opt.step()
        averaged.update_parameters(model)
        schedule.step()
        return loss

    step = ig.jit(train_step) if compiled else train_step
    for k in range(4):
        step(ig.tensor(np.random.default_rng(k).standard_normal((5, 3)), dtype=ig.float32))
    return model, averaged, train_step, schedule


@pytest.mark.parametrize("kind", ["swa", "ema", "ema-one"])
def test_averages_have_equal_bits_compiled(kind):
    _, eager, _, _ = averaging(kind, False)
    _, compiled, _, _ = averaging(kind, True)
    assert int(eager.n_averaged) == 4
    for (name, a), b in zip(
        eager.state_dict().items(), compiled.state_dict().values(), strict=True
    ):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=name)


def test_an_average_is_state_of_the_file(tmp_path):
    model, averaged, train_step, _ = averaging("ema", False)
    program = ig.trace(train_step, ig.spec((5, 3)), name="train_step")
    program.trace("averaged", averaged.eval(), ig.spec((2, 3)))
    names = set(program.ir.state)
    assert {"0.weight", "ema.module.0.weight", "ema.n_averaged", "schedule.last_epoch"} <= names
    x = np.ones((5, 3), np.float32)
    program.save(tmp_path / "ema.ig")
    loaded = ig.load(str(tmp_path / "ema.ig"))
    loaded.train_step(x)
    train_step(ig.tensor(x))
    np.testing.assert_array_equal(
        loaded.state["ema.module.0.weight"], averaged.module[0].weight.detach().numpy()
    )
    expected = averaged(ig.ones(2, 3)).detach().numpy()
    np.testing.assert_array_equal(loaded.averaged(np.ones((2, 3), np.float32)), expected)
    other = swa_utils.AveragedModel(network())
    other.load_state_dict(averaged.state_dict())
    assert int(other.n_averaged) == 5


def test_running_statistics_are_computed_anew():
    model = network().eval()
    batches = [ig.tensor(np.full((4, 3), k, np.float32)) for k in range(3)]
    swa_utils.update_bn([(b, 0) for b in batches], model)
    means = [model[0](b).detach().numpy().mean(0) for b in batches]
    np.testing.assert_allclose(model[1].running_mean.numpy(), np.mean(means, 0), rtol=1e-5)
    assert model[1].momentum == 0.1 and not model.training


def test_the_rate_of_averaging_traces():
    rates = []
    for compiled in (False, True):
        opt = made()
        schedule = swa_utils.SWALR(opt, 0.01, anneal_epochs=3)
        step = ig.jit(lambda s=schedule: s.step()) if compiled else schedule.step
        for _ in range(5):
            step()
            rates.append(schedule.get_last_lr())
    assert rates[:5] == rates[5:]
    assert rates[-1] == [0.01, 0.01]
    with pytest.raises(ig.ArgumentError, match="anneal_epochs"):
        swa_utils.SWALR(made(), 0.1, anneal_epochs=-1)
    with pytest.raises(ig.ArgumentError, match="decay"):
        swa_utils.get_ema_avg_fn(2.0)


def test_the_state_of_another_number_of_groups_is_refused_whole():
    def of(count):
        ps = [ig.ones(1).requires_grad_() for _ in range(count)]
        opt = optim.SGD([{"params": [p]} for p in ps], lr=0.1)
        return lr_scheduler.StepLR(opt, 2), opt

    one, two = of(1)[0], of(2)[0]
    two.step()
    before, names = one.state_dict(), [n for n, _, _ in one.named_state()]
    with pytest.raises(ig.Error, match="base_lrs of 2 groups does not fit 1"):
        one.load_state_dict(two.state_dict())
    assert one.state_dict() == before
    assert [n for n, _, _ in one.named_state()] == names


def test_another_number_of_schedules_is_refused_whole():
    opt = made()
    chained = lr_scheduler.ChainedScheduler([lr_scheduler.StepLR(opt, 2)])
    wrong = chained.state_dict() | {"_schedulers": [], "last_epoch": 7, "other": 1}
    before = chained.state_dict()
    with pytest.raises(ig.Error, match="0 schedules do not fit 1"):
        chained.load_state_dict(wrong)
    assert chained.state_dict() == before
