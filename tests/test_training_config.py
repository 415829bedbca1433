"""Configuration files: every setting survives, and every mistake gets one clear line."""

import json
from dataclasses import dataclass, fields

import pytest

pytest.importorskip("torch", reason="training needs torch: pip install 'earprint[train]'")
from earprint.errors import TrainingError
from earprint.training.augmentation import Augmentations, base, paper_augmentations, registered
from earprint.training.augmentation.filters import BandLimit
from earprint.training.config import LIMITS, TrainConfig, augmentations_of, default_config
from earprint.training.config_file import config_toml, load_config
from earprint.training.legacy_settings import OLD_DEFAULTS, current_settings, read_flat
from earprint.training.model_card import model_card
from earprint.training.networks import NETWORKS
from earprint.training.settings import descriptions


@pytest.fixture
def config_file(tmp_path):
    def write(text):
        file = tmp_path / "run.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


@pytest.mark.parametrize("comments", [False, True])
@pytest.mark.parametrize("network", list(NETWORKS))
def test_written_and_read_again(config_file, network, comments):
    config = default_config(network)
    assert load_config(config_file(config_toml(config, comments=comments)), {}) == config


def test_no_file_is_the_default_of_the_network():
    assert load_config(None, {}) == default_config("dense")
    assert load_config(None, {"network": "nafp", "seed": 3}) == default_config("nafp", seed=3)


def test_a_file_changes_only_what_it_holds(config_file):
    file = config_file(
        'network = "nafp"\nmax_minutes = "none"\nmax_steps = 9\nlearning_rate = 1\n'
        "[augmentation.clipping]\nprobability = 1\npeak_share = [0.5, 0.75]\n"
    )
    config = load_config(file, {"seed": 2, "max_steps": 8})
    assert (config.max_minutes, config.max_steps, config.seed) == (None, 8, 2)
    assert isinstance(config.learning_rate, float)
    clipping = {"probability": 1.0, "peak_share": (0.5, 0.75)}
    assert config.augmentation == paper_augmentations().updated(clipping=clipping)
    assert config.temperature == default_config("nafp").temperature


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nois = 1", "nois: unknown key; use one of alignment_weight, audio_per_step_s"),
        ("[augmentation.noize]\nrate = 1", "augmentation.noize: unknown augmentation; use one of .*noise"),
        ("[augmentation.noise]\nsnr = 1", "augmentation.noise.snr: unknown key; use one of probability, "),
        ("[augmentation]\nnoise = 1", r"augmentation.noise: must be a table, \[augmentation.noise\]"),
        ("[[augmentation.noise]]\nprobability = 1", "augmentation.noise: must be a table"),
        ('[augmentation."a\\nb"]\nrate = 1', r'augmentation."a\\nb": unknown augmentation'),
        ('[augmentation.noise]\n"a\\u2028b" = 1', r'augmentation.noise."a\\u2028b": unknown key'),
        ('"a b\\nc" = 1', r'"a b\\nc": unknown key'),
        ('"" = 1', '"": unknown key'),
        ('network = "a\\nb"', r'network = "a\\nb": must be one of'),
        ("dim = " + "9" * 22, "dim = 9{22}: dense has no fingerprints of 9{22} components"),
        ("dim = 7", "dim = 7: dense has no fingerprints of 7 components.* try 64 or 128"),
        ("query_beyond_steps = -2", "query_beyond_steps = -2: must be a whole number from 0 to 12"),
        ("query_beyond_steps = 1000", "query_beyond_steps = 1000: must be a whole number from 0 to 12"),
        ("query_beyond_steps = 7", "query_beyond_steps = 7: must be even"),
        ("max_minutes = 0", 'max_minutes = 0.0: must be a number from 0.0001 to 1000000, or "none"'),
        ("audio_per_step_s = 1e300", r"audio_per_step_s = 1e\+300: must be a number from 0.1 to 100000"),
        ("memory_bank_size = 1" + "0" * 15, "size = 10{15}: must be a whole number from 0 to 100000000"),
        ("lengths_s = [1.0, 0.5]\nquery_beyond_steps = 4", r"0.5\]: clips of dense must be 0.64 s or longer"),
        ('network = "nafp"\nlengths_s = [0.9]', r"\[0.9\]: clips of nafp must be 0.96 s or longer"),
        ("validation_queries = 9999999", "must be a whole number from 1 to 1000000"),
        ("threads = 99999", "must be a whole number from 0 to 4096"),
        ("ema_decay = 1", "must be a number from 0 to 0.99999"),
        ("temperature = 1" + "0" * 400, "= a number of more than 30 digits: must be a number from"),
        ("seed = 0x1" + "0" * 5_000, "= a number of more than 30 digits: must be a whole number"),
        ("seed = 1" + "0" * 5_000, "not a TOML file: "),
        ("seed = " + 5_000 * "[", "not a TOML file: "),
        ("augmentation = 1", r"augmentation: must be a table for each augmentation, \[augmentation.NAME\]"),
        ('seed = "1"', 'seed = "1": must be a whole number from 0'),
        ("complete = 1", "complete = 1: must be true or false"),
        ("seed = true", "seed = true: must be a whole number"),
        ("seed = 1.5", "seed = 1.5: must be a whole number"),
        ("seed = -1", "seed = -1: must be a whole number from 0"),
        ("network = 3", "network = 3: must be a text"),
        ('network = "deep"', 'network = "deep": must be one of .*dense'),
        ('loss = "l2"', 'loss = "l2": must be one of nt-xent, triplet'),
        ('negatives = "some"', 'negatives = "some": must be one of all, cross'),
        ("n_subquantizers = 129", "n_subquantizers = 129: a fingerprint of 128 components has 1 to 128"),
        ('network = "nafp"\nalignment_weight = 1', "alignment_weight = 1: nafp gives one fingerprint of a"),
        ('max_steps = "all"', 'max_steps = "all": must be a whole number from 1 to 1000000000, or "none"'),
        ("margin = nan", "margin = nan: must be a number from 0 to 4"),
        ("lengths_s = 1.0", "lengths_s = 1.0: must be a list of numbers from 0.1 to 60"),
        ("lengths_s = []", r"lengths_s = \[\]: must be a list of numbers"),
        ("lengths_s = [1.0, 90.0]", r"lengths_s = \[1.0, 90.0\]: must be a list of numbers from 0.1 to 60"),
        ("[augmentation.room]\nprobability = 1.5", "room.probability = 1.5: must be a number from 0 to 1"),
        ("[augmentation.room]\nsimulated_share = -0.1", "share = -0.1: must be a number from 0 to 1"),
        (
            "[augmentation.noise]\nsnr_db = [9.0, 3.0]",
            r"snr_db = \[9.0, 3.0\]: must be \[lowest, highest\], two numbers .* with the lower one first",
        ),
        ("[augmentation.noise]\nsnr_db = [9.0]", r"snr_db = \[9.0\]: must be \[lowest, highest\]"),
        ("[augmentation.noise]\nrate = [0.0, 1.0]", r"\[0.0, 1.0\]: must be .* from 0.25 to 4 with"),
        ("[augmentation.spec_mask]\nwidth_bands = [1.5, 3]", r"= \[1.5, 3\]: must be .*two whole numbers"),
        ("max_minutes = \"none\"", "a run without an end"),
        ("seed = ", "not a TOML file: "),
    ],
)  # fmt: skip
def test_mistakes_are_named(config_file, text, message):
    file = config_file(text)
    with pytest.raises(TrainingError, match=f"^{file}: .*{message}") as caught:
        load_config(file, {})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("augmentation", "field", "value"),
    [
        ("level", "gain_db", 1e3), ("noise", "snr_db", 1e300), ("background_music", "gain_db", 1e6),
        ("noise_tilt", "db_per_octave", 1e6), ("room", "decay_db_per_s", 1e9), ("room", "tail_db", 1e3),
        ("equalizer", "terms_db", 1e3), ("noise_equalizer", "terms_db", 1e3), ("noise", "second_gain", 1e3),
    ],
)  # fmt: skip
def test_levels_that_are_not_plausible_are_refused(config_file, augmentation, field, value):
    for ends in ((0.0, value), (-value, 0.0)):
        file = config_file(f"[augmentation.{augmentation}]\n{field} = {list(ends)}\n")
        with pytest.raises(TrainingError, match=rf"augmentation.{augmentation}.{field} = \[.*from -?\d+ to "):
            load_config(file, {})


def test_every_range_has_limits():
    for cls in registered():
        ranges = {field.name for field in fields(cls) if isinstance(field.default, tuple)}
        assert all(abs(end) < 1e5 for limit in cls().all_limits().values() for end in limit), cls
        assert ranges <= set(cls().all_limits()), cls


def test_other_encodings(config_file):
    file = config_file("")
    file.write_bytes("seed = 5 # é\n".encode("utf-8-sig"))
    assert load_config(file, {}).seed == 5
    for encoding in ("utf-16", "latin-1"):
        file.write_bytes("seed = 5 # é\n".encode(encoding))
        with pytest.raises(TrainingError, match=f"^{file}: not UTF-8 text; save it as UTF-8$"):
            load_config(file, {})
    file.write_bytes("seed = 5\n".encode("utf-16-le"))
    with pytest.raises(TrainingError, match=f"^{file}: not "):
        load_config(file, {})


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TrainingError, match=r"none\.toml: cannot be read: No such file"):
        load_config(tmp_path / "none.toml", {})


def test_settings_are_checked_in_python_too():
    with pytest.raises(TrainingError, match=r"augmentation.band_limit.low_hz = \[0.0, 500.0\]: must be"):
        BandLimit(low_hz=(0.0, 500.0))
    with pytest.raises(TrainingError, match="dim = 0: must be a whole number of 1 or more"):
        TrainConfig(dim=0)


def test_every_setting_is_explained():
    for cls in (TrainConfig, *registered()):
        described = descriptions(cls)
        missing = {field.name for field in fields(cls)} - set(described) - {"augmentation"}
        assert not missing, f"{cls.__name__}: {missing}"
        assert cls.__doc__ != cls.__base__.__doc__
    assert set(LIMITS) <= {field.name for field in fields(TrainConfig)}


def known_to_old_runs():
    """The default settings of the augmentations that runs with flat settings had; all others are off."""
    defaults = Augmentations()
    names = (
        "shift", "codec_query", "playback_rate", "query_speed", "codec_twin", "background_music", "room",
        "device", "band_limit", "equalizer", "noise_tilt", "noise_equalizer", "noise", "clipping", "level",
        "spec_mask",
    )  # fmt: skip
    return defaults.disabled().updated_from({name: defaults.to_dict()[name] for name in names})


@pytest.fixture
def new_augmentation(monkeypatch):
    """An augmentation that no run knew, with a default probability."""
    monkeypatch.setattr(base, "_registry", dict(base._registry))

    @base.register("new_one")
    @dataclass(frozen=True)
    class NewOne(base.WaveformAugmentation):
        """Does nothing."""

        probability: float = 0.5

    return NewOne


def test_the_file_of_a_run_repeats_it_after_an_augmentation_was_added(config_file, monkeypatch, request):
    run, template = default_config("dense", seed=7), config_file("")
    template.write_text(config_toml(run, complete=False), encoding="utf-8")
    file = template.with_name("config.toml")
    file.write_text(config_toml(run), encoding="utf-8")
    request.getfixturevalue("new_augmentation")
    repeated = load_config(file, {}).augmentation
    assert repeated["new_one"].probability == 0.0
    settings = repeated.to_dict()
    del settings["new_one"]
    assert settings == run.augmentation.to_dict()
    assert load_config(template, {}).augmentation["new_one"].probability == 0.5
    assert config_toml(run).splitlines()[1] == "complete = true"


def test_a_new_augmentation_leaves_old_runs_alone(new_augmentation):
    test_old_flat_settings_are_read()
    test_configurations_of_runs_are_read()


def test_a_complete_file_without_tables_has_no_augmentation(config_file):
    config = load_config(config_file("complete = true\n"), {})
    assert config.augmentation == Augmentations().disabled()


def test_old_flat_settings_are_read():
    assert read_flat({}) == (known_to_old_runs(), 1e-6)
    old_paper = {
        **OLD_DEFAULTS, **dict.fromkeys(
            ("second_noise", "band_limit", "clip", "mask", "speed", "pace", "medley", "noise_pace",
             "noise_tilt", "noise_colour", "colour", "room_pace", "room_shape", "codec", "call", "device"),
            0.0),
        "measured": 1 / 3, "simulated": 1 / 3, "noise_with_response": 0.5, "snr_db": (0.0, 25.0),
        "shift_s": 0.04, "gain_db": (0.0, 0.0), "quietest": 1e-4,
    }  # fmt: skip
    augmentations, min_power = read_flat(json.loads(json.dumps(old_paper)))
    assert min_power == 1e-4 == default_config("nafp").min_clip_power
    silent_level = {"probability": 1.0, "gain_db": (0.0, 0.0)}
    same = paper_augmentations().updated(level=silent_level)
    assert augmentations == same
    changed, _ = read_flat({"call": 0.0, "measured": 0.0, "pace_range": 0.1, "medley_db": 3.0})
    assert changed["codec_query"].probability == 0
    assert (changed["room"].probability, changed["room"].simulated_share) == (0.25, 1.0)
    assert changed["playback_rate"].rate == (0.9, 1.1)
    assert changed["background_music"].gain_db == (-3.0, 0.0)


def test_configurations_of_runs_are_read():
    config = default_config("dense", min_clip_power=1e-5)
    stored = json.loads(json.dumps(config.to_dict()))
    assert augmentations_of(stored) == (config.augmentation, 1e-5)
    assert augmentations_of({"distortions": {"mask": 1.0}})[0]["spec_mask"].probability == 1.0
    assert augmentations_of({}) == (known_to_old_runs(), 1e-6)


def test_settings_of_older_runs_have_their_current_names():
    old = {"network": "dense", "pieces": 24, "bank": 4096, "alignment": 0.5, "distortions": {"mask": 1.0}}
    current = current_settings(old)
    assert (current["n_subquantizers"], current["memory_bank_size"], current["alignment_weight"]) == (
        24,
        4096,
        0.5,
    )
    assert current["negatives"] == "cross"
    assert current["augmentation"]["spec_mask"]["probability"] == 1.0
    assert set(current) <= {field.name for field in fields(TrainConfig)}
    assert current_settings(current) == current
    now = default_config("nafp").to_dict()
    assert current_settings(now) == now


@pytest.mark.parametrize("network", ["dense", "nafp"])
def test_a_model_card_holds_the_configuration(config_file, network):
    config = default_config(network, n_subquantizers=16, memory_bank_size=64)
    training = {
        "steps": 4, "minutes": 0.1, "device": "CPU", "started_from": {"weights": "w.pt", "digest": "ab"},
        "store": {"music": {"items": 5, "held_out": 1}}, "validation": {"step": 4},
        "config": config.to_dict(),
    }  # fmt: skip
    text = model_card({
        "name": "mine", "network": network, "dim": 128, "parameters": 1_234_567, "exported": "2026-01-31",
        "threshold": {"1": 0.7}, "training": json.loads(json.dumps(training)),
    })  # fmt: skip
    for line in ("# mine", "| Parameters | 1,234,567 |", "| 1 s | 0.7 |", "| music | 5 | 1 |"):
        assert line in text.splitlines()
    assert "| Started from | w.pt (ab) |" in text
    _, _, configuration = text.partition("```toml\n")
    assert load_config(config_file(configuration.removesuffix("```\n")), {}) == config


def test_noise_only():
    only = Augmentations.noise_only((1.0, 2.0), room={"probability": 0.5}, shift={"offset_s": (0.0, 0.0)})
    on = [augmentation.name for augmentation in only if augmentation.probability > 0]
    assert on == ["shift", "room", "noise", "level"]
    assert only["noise"].snr_db == (1.0, 2.0)
    assert only["noise"].second_probability == only["noise"].rate_probability == 0.0
    assert only["room"].decay_probability == 0.0
