"""The training loop: it learns, stops when told, and goes on after an interruption as if there were none."""

import copy
import csv
import hashlib
import json
import tomllib

import numpy as np
import pytest

from earprint.errors import TrainingError
from helpers.trainstore import make_store

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'earprint[train]'")
from earprint.training import validate  # noqa: E402
from earprint.training.augmentation import Augmentations  # noqa: E402
from earprint.training.codec_queries_packing import render_codec_queries  # noqa: E402
from earprint.training.tasks import task_for  # noqa: E402
from earprint.training.trainer import Trainer, default_config  # noqa: E402
from earprint.training.validate import hit_rate  # noqa: E402
from earprint.training.weight_averaging import STATISTICS_BATCHES  # noqa: E402
from helpers.thin_networks import use_thin_networks  # noqa: E402

TRACKS, HELD_OUT = 8, 2
MILD = Augmentations.noise_only((15.0, 30.0), noise={"second_probability": 0.3}, shift={"probability": 0.0})


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("store"), tracks=TRACKS, held_out=HELD_OUT, duration_s=4.0)


@pytest.fixture
def trainer(store, tmp_path, monkeypatch):
    use_thin_networks(monkeypatch)

    def make(run="run", start_from=None, report_every_s=20.0, **options):
        settings = {
            "audio_per_step_s": float(TRACKS), "lengths_s": (1.0,), "max_minutes": 60.0, "warmup_steps": 5,
            "validation_percent": 0, "augmentation": MILD, "threads": 1,
        }  # fmt: skip
        said = []
        config = default_config(options.pop("network", "dense"), **{**settings, **options})
        made = Trainer(
            store, tmp_path / run, config, torch.device("cpu"), said.append, start_from,
            report_every_s=report_every_s,
        )  # fmt: skip
        made.said = said
        return made

    return make


@pytest.mark.slow
def test_loss_falls(trainer):
    learner = trainer(max_steps=40)
    losses = [learner._one_step() for _ in range(40)]
    assert np.isfinite(losses).all()
    assert learner.skipped == 0
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:3])


def test_stops_after_the_steps_and_leaves_a_record(trainer, tmp_path):
    learner = trainer(max_steps=3)
    before = copy.deepcopy(learner.network.state_dict())
    learner.train()
    assert learner.step == 3
    assert any(not torch.equal(before[key], value) for key, value in learner.network.state_dict().items())
    run = tmp_path / "run"
    assert (run / "checkpoint.pt").is_file()
    assert not (run / "checkpoint.tmp").exists()
    config = tomllib.loads((run / "config.toml").read_text(encoding="utf-8"))
    assert (config["network"], config["max_steps"], config["temperature"]) == ("dense", 3, 0.05)
    with (run / "log.csv").open(encoding="utf-8", newline="") as file:
        last = list(csv.DictReader(file))[-1]
    assert last["step"] == "3"
    assert float(last["loss"]) > 0
    assert "from step 0" in learner.said[0]
    # A finished run that is started again does nothing more.
    again = trainer(max_steps=3)
    again.train()
    assert again.step == 3
    assert "finished at step 3" in again.said[0]


def test_stops_when_the_time_is_spent(trainer):
    learner = trainer(max_minutes=1e-4)
    learner.train()
    assert learner.step == 1


def same(a, b):
    """Whether two nested states are exactly equal."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.mark.slow
def test_an_interrupted_run_goes_on_as_if_it_had_not_been(trainer):
    # A batch holds every track, so none is waiting its turn when the run stops.
    options = {"max_steps": 6, "audio_per_step_s": float(TRACKS + HELD_OUT)}
    whole = trainer("whole", **options)
    for _ in range(3):
        whole._one_step()
    whole.run = trainer("part", **options).run
    whole.save()
    resumed = trainer("part", **options)
    assert resumed.step == 3
    assert same(resumed.network.state_dict(), whole.network.state_dict())
    assert same(resumed.averaging.average.state_dict(), whole.averaging.average.state_dict())
    assert same(resumed.optimizer.state_dict(), whole.optimizer.state_dict())
    assert resumed.sampler.rng.bit_generator.state == whole.sampler.rng.bit_generator.state
    losses = [whole._one_step() for _ in range(3)]
    np.testing.assert_allclose([resumed._one_step() for _ in range(3)], losses, rtol=1e-3)
    assert resumed.step == whole.step == 6


def logged(run):
    with (run / "log.csv").open(encoding="utf-8", newline="") as file:
        return [(row["step"], row["loss"], row["learning_rate"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("changes", [{}, {"network": "nafp", "chunk": 2, "loss": "triplet"}])
def test_a_stopped_run_has_the_loss_curve_of_one_that_was_not(trainer, changes):
    # Three of eight tracks to a batch, so that some wait their turn when the run stops.
    options = {"max_steps": 7, "max_minutes": None, "audio_per_step_s": 3.0, "augmentation": Augmentations(),
               "lengths_s": (1.0, 1.4), "report_every_s": -1.0, **changes}  # fmt: skip
    if "network" in changes:
        options["lengths_s"] = (1.0,)
    whole = trainer("whole", **options)
    assert whole.train()
    part = trainer("part", **options)
    step = part._one_step
    part._one_step = lambda: (step(), part.stop() if part.step == 3 else None)
    assert not part.train()
    assert part.step == 3
    assert "stopped at step 3; run the same command again to go on" in part.said[-1]
    assert not (part.run / "weights.pt").exists()
    # As if it had been killed a little later than its checkpoint was written.
    part.log.losses(whole.meter, 5, 0.0, 1.0)
    rest = trainer("part", **options)
    assert rest.train()
    assert [step for step, _, _ in logged(rest.run)] == [str(n) for n in range(1, 8)]
    for (_, loss, rate), (_, expected, expected_rate) in zip(
        logged(rest.run), logged(whole.run), strict=True
    ):
        assert rate == expected_rate
        assert float(loss) == pytest.approx(float(expected), rel=1e-3)


def test_the_schedule_of_a_timed_run_goes_on_where_it_stopped(trainer):
    options = {"max_minutes": 10.0, "validate_every_minutes": 3.0}
    first = trainer(**options)
    first.trained_s, first.validated_s, first.step = 240.0, 180.0, 500
    rate = first._learning_rate()
    first.save()
    again = trainer(**options)
    assert again.progress == 0.4
    assert again._learning_rate() == rate
    assert again.validated_s == 180.0
    old = torch.load(again.run / "checkpoint.pt", weights_only=True)
    del old["validated_s"], old["skipped"]  # as the first version wrote them
    torch.save(old, again.run / "checkpoint.pt")
    assert trainer(**options).validated_s == 240.0


def test_a_run_needs_an_end():
    with pytest.raises(TrainingError, match="without an end; set max_minutes or max_steps"):
        default_config("dense", max_minutes=None)
    assert default_config("dense", max_minutes=None, max_steps=3).max_minutes is None


def test_a_damaged_checkpoint_is_named(trainer):
    run = trainer().run
    (run / "checkpoint.pt").write_bytes(b"half a checkpoint")
    with pytest.raises(TrainingError, match=r"checkpoint\.pt: cannot be read .*; use another folder"):
        trainer()


@pytest.mark.parametrize(("network", "lengths_s"), [("dense", (1.0, 1.16, 1.4, 2.0, 3.0)), ("nafp", (1.0,))])
def test_segments_are_the_pairs_that_the_loss_compares(network, lengths_s):
    task = task_for(network)
    for length_s in lengths_s:
        compared = []

        def count(distorted, clean, context, stride, weights, compared=compared):
            compared.append(distorted[:, ::stride].flatten(0, 1).shape[0])
            return distorted.sum()

        rows = (round(length_s * 100) - 96) // 4 + 1
        shape = (3, rows, 2) if network == "dense" else (3, 2)
        task.loss(torch.zeros(shape), torch.zeros(shape), length_s, count)
        assert compared == [3 * task.positions(length_s)]


def test_progress_tells_segments_and_the_time_without_data(trainer, tmp_path):
    learner = trainer(max_steps=2)
    learner.train()
    (line,) = [line for line in learner.said if "segments/s" in line]
    assert "% of the time waiting for data" in line
    with (tmp_path / "run" / "log.csv").open(encoding="utf-8", newline="") as file:
        row = list(csv.DictReader(file))[-1]
    # Eight clips of 1 s: two windows within it and twelve half beyond either end, every second compared.
    assert float(row["segments_per_s"]) == pytest.approx(8 * 13 * float(row["steps_per_s"]), rel=0.01)
    assert 0 < float(row["data_share"]) < 1


def test_a_checkpoint_of_another_network_is_refused(trainer):
    learner = trainer()
    learner.save()
    smaller = torch.load(learner.run / "checkpoint.pt", weights_only=True)
    smaller["network"].pop("stem.weight")
    torch.save(smaller, learner.run / "checkpoint.pt")
    with pytest.raises(TrainingError, match=r"checkpoint\.pt: made for another network than dense; use"):
        trainer()


def test_the_last_part_keeps_the_norms_statistics(trainer):
    learner = trainer(max_steps=10, frozen_norm_share=0.5)
    norm = learner.network.stem_norm
    learner._one_step()
    moving = norm.running_mean.clone()
    learner.step = 6
    learner._one_step()
    frozen = norm.running_mean.clone()
    assert not torch.equal(frozen, moving)  # the averaged network's
    assert torch.equal(learner.averaged_network().stem_norm.running_mean, frozen)
    learner._one_step()
    assert torch.equal(norm.running_mean, frozen)
    assert torch.equal(learner.averaged_network().stem_norm.running_mean, frozen)
    assert not norm.training


def test_the_averaged_network_has_statistics_of_its_own_weights(trainer):
    learner = trainer(max_steps=20, frozen_norm_share=0.0, ema_decay=0.5, learning_rate=2e-2)
    for _ in range(4):
        learner._one_step()
    averaged, raw = learner.averaged_network(), learner.network
    # A slow reference for the first norm, whose input depends on the first convolution alone.
    inputs = [side for pair in learner._next_inputs(STATISTICS_BATCHES) for side in pair]
    with torch.no_grad():
        maps = [averaged.stem(side.transpose(1, 2).unsqueeze(1)) for side in inputs]
    for got, moment in (("running_mean", torch.mean), ("running_var", torch.var)):
        expected = torch.stack([moment(values, dim=(0, 2, 3)) for values in maps]).mean(dim=0)
        torch.testing.assert_close(getattr(averaged.stem_norm, got), expected, rtol=2e-2, atol=2e-3)
    assert not torch.allclose(averaged.stem_norm.running_var, raw.stem_norm.running_var, rtol=2e-2)
    # What is drawn for the statistics is drawn again for the run.
    (clean, distorted), *_ = learner._next_inputs(1)
    _, clean_again, distorted_again = learner._draw_inputs()
    assert torch.equal(clean, clean_again)
    assert torch.equal(distorted, distorted_again)


def test_a_run_goes_on_with_frozen_statistics(trainer):
    options = {"max_steps": 8, "frozen_norm_share": 0.6}
    whole = trainer("whole", **options)
    part = trainer("part", **options)
    for _ in range(5):
        whole._one_step()
        part._one_step()
    part.save()
    resumed = trainer("part", **options)
    assert resumed.averaging.norms_frozen
    losses = [whole._one_step() for _ in range(2)]
    assert [resumed._one_step() for _ in range(2)] == pytest.approx(losses, rel=1e-3)
    assert same(dict(resumed.averaged_network().named_buffers()), dict(resumed.network.named_buffers()))
    old = torch.load(part.run / "checkpoint.pt", weights_only=True)
    del old["norms_frozen"]  # as in checkpoints of earlier versions
    torch.save(old, part.run / "checkpoint.pt")
    assert trainer("part", **options).averaging.norms_frozen


def test_the_learning_rate_rises_and_then_falls_to_nothing(trainer):
    learner = trainer(max_steps=100, warmup_steps=10, learning_rate=1.0)
    rates = []
    for step in range(101):
        learner.step = step
        rates.append(learner._learning_rate())
    assert np.argmax(rates) == 9
    assert (np.diff(rates[:10]) > 0).all()
    assert (np.diff(rates[9:]) < 0).all()
    assert rates[100] == pytest.approx(0.0, abs=1e-12)


def test_not_a_number_is_skipped_and_in_the_end_an_error(trainer):
    learner = trainer(max_steps=50)
    before = copy.deepcopy(dict(learner.network.named_parameters()))
    loss = learner.objective.criterion
    learner.objective.criterion = lambda *args: loss(*args) * float("nan")
    learner._one_step()
    assert learner.skipped == 1
    assert all(torch.equal(before[key], value) for key, value in learner.network.named_parameters())
    learner.skipped = 10
    with pytest.raises(TrainingError, match="the loss became nan; lower --learning-rate"):
        learner._one_step()


def never_finite(learner):
    loss = learner.objective.criterion
    learner.objective.criterion = lambda *args: loss(*args) * float("nan")


def test_a_run_without_one_finite_loss_fails_and_keeps_its_checkpoint(trainer):
    first = trainer(max_steps=1)
    never_finite(first)
    with pytest.raises(TrainingError, match="run: no step had a finite loss, so nothing was learned; lower"):
        first.train()
    assert not (first.run / "checkpoint.pt").exists()
    assert not (first.run / "weights.pt").exists()
    good = trainer(max_steps=1)
    good.train()
    kept = (good.run / "checkpoint.pt").read_bytes()
    resumed = trainer(max_steps=40)
    never_finite(resumed)
    with pytest.raises(TrainingError, match="the loss became nan"):
        resumed.train()
    assert (good.run / "checkpoint.pt").read_bytes() == kept


def test_many_losses_in_a_row_that_are_not_finite_end_a_long_run(trainer):
    learner = trainer(max_steps=100_000)
    learner.step = 50_000
    never_finite(learner)
    learner.skipped_in_a_row = 98
    learner._one_step()
    with pytest.raises(TrainingError, match="the loss became nan"):
        learner._one_step()


def test_no_warm_up(trainer):
    learner = trainer(max_steps=10, warmup_steps=0)
    assert learner._learning_rate() == learner.config.learning_rate


def test_the_widest_ranges_give_finite_audio(trainer):
    for end in (0, 1):
        changes = {
            augmentation.name: {
                name: 2 * (limit[end],) for name, limit in augmentation.limits.items()
            } | {"probability": 1.0}
            for augmentation in Augmentations() if augmentation.limits
        }  # fmt: skip
        learner = trainer(f"run{end}", augmentation=Augmentations().updated(**changes), audio_per_step_s=4.0)
        for inputs in learner._draw_inputs()[1:]:
            assert torch.isfinite(inputs).all()


def test_validation_on_what_was_held_out(trainer, tmp_path):
    learner = trainer(max_steps=2, validation_percent=8, validation_queries=16)
    assert learner.store["music"] == {"items": TRACKS, "held_out": HELD_OUT}
    held = {item.group for item in learner.validation.packs[0].items}
    assert held.isdisjoint(item.group for item in learner.sampler.music.items)
    before = copy.deepcopy(learner.network.state_dict())
    scores = learner.validate()
    assert set(scores) == set(validate.CONDITIONS)
    assert all(0 <= score <= 1 for score in scores.values())
    assert learner.validate() == scores  # the same queries every time
    assert same(before, learner.network.state_dict())
    lines = (tmp_path / "run" / "validation.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[0])["step"] == 0


def rows(batch, n, seed=0):
    values = torch.from_numpy(np.random.default_rng(seed).standard_normal((batch, n, 64)))
    return (values / values.norm(dim=2, keepdim=True)).float()


@pytest.mark.parametrize(("moved", "right"), [(0, 1.0), (2, 1.0), (-2, 1.0), (3, 0.0), (-3, 0.0)])
def test_hits_need_the_right_place(moved, right):
    references = rows(5, 24)
    start = (24 - 4) // 2 + moved
    assert hit_rate(references[:, start : start + 4], references) == right


def test_hits_need_the_right_clip():
    references = rows(4, 9)
    queries = references[:, 3:6].clone()
    assert hit_rate(queries, references) == 1.0
    queries[[0, 1]] = queries[[1, 0]]
    assert hit_rate(queries, references) == 0.5
    assert hit_rate(references, references.flip(0)) == 0.0


def test_other_clips_of_its_own_track_are_not_compared_with():
    references = rows(4, 9)
    references[1] = references[0]
    queries = references[:, 3:6].clone()
    assert hit_rate(queries, references) == 0.75  # of two equal ones the first is found
    assert hit_rate(queries, references, np.array([5, 5, 6, 7])) == 1.0
    assert hit_rate(queries, references, np.array([5, 4, 6, 7])) == 0.75


def test_calls_are_learned_from_unless_they_are_of_what_is_held_out(tmp_path):
    store = make_store(tmp_path, tracks=TRACKS, held_out=HELD_OUT, duration_s=4.0)
    settings = {"max_steps": 2, "audio_per_step_s": 8.0, "lengths_s": (1.0,), "threads": 1}

    def learner(percent):
        config = default_config("dense", validation_percent=percent, **settings)
        return Trainer(store, tmp_path / f"run{percent}", config, torch.device("cpu"), lambda line: None)

    render_codec_queries(store, 10, 1.5, validation_percent=8)
    with_calls = learner(8)
    assert with_calls.store["calls"] == {"items": 10, "held_out": 0}
    drawn = [with_calls.sampler.batch_sampler.draw(TRACKS, 16_000, 1).clips for _ in range(20)]
    assert any(clips.is_codec_query.any() for clips in drawn)
    assert np.isfinite(with_calls._one_step())
    render_codec_queries(store, 10, 1.5, validation_percent=0)
    with pytest.raises(TrainingError, match=r"holds out; make them again .*--validation-percent 8"):
        learner(8)


def test_attention_takes_a_step(trainer):
    learner = trainer(network="attention", audio_per_step_s=4.0, max_steps=2)
    assert learner.config.temperature == 0.1
    assert np.isfinite(learner._one_step())


def test_what_a_run_began_with_is_remembered(trainer, tmp_path):
    first = trainer("first", max_steps=2)
    first.train()
    weights = tmp_path / "first" / "weights.pt"
    second = trainer("second", start_from=weights, max_steps=1)
    for name, value in first.averaged_network().state_dict().items():
        torch.testing.assert_close(second.network.state_dict()[name], value, atol=1e-3, rtol=1e-3)
    second.train()
    digest = hashlib.blake2b(weights.read_bytes(), digest_size=4).hexdigest()
    resumed = trainer("second", max_steps=2)
    assert resumed.started_from == {"weights": "weights.pt", "digest": digest}
    assert first.started_from is None
