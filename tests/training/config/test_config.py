"""Configuration: complete presets with the paper's values, layers, and errors that name the cause."""

import subprocess
import sys

import pytest

from core.errors import AnimaticError
from training.config import dump_yaml, load, resolve
from training.config.identity import config_hash, trajectory_hash
from training.config.presets import presets


@pytest.mark.parametrize("preset", presets())
@pytest.mark.parametrize("stage", range(5))
def test_every_preset_has_every_stage_and_reads_back(preset, stage, tmp_path):
    config = resolve(stage, preset)
    path = tmp_path / "config.yaml"
    path.write_text(dump_yaml(config))
    assert load(path) == config
    assert (config.model.unet.temporal, config.data.sampling.images_only) == (stage != 1, stage == 1)
    assert (config.model.context is not None) == (stage > 0)
    assert config.model.unet.detail_guidance == (stage >= 3 or (stage == 0 and preset == "tiny"))
    assert (config.model.student is not None) == (stage == 4)


@pytest.mark.parametrize(
    ("preset", "size", "prediction", "scale", "fps_condition"),
    [
        ("256", (256, 256), "eps", None, "stride"),
        ("512", (320, 512), "v", 0.7, "fps"),
        ("1024", (576, 1024), "v", 0.3, "fps"),
    ],
)
def test_presets_hold_the_published_model(preset, size, prediction, scale, fps_condition):
    config = resolve(3, preset)
    model, unet = config.model, config.model.unet
    assert (model.height, model.width, model.frames) == (*size, 16)
    assert model.diffusion.parameterization == prediction
    assert model.diffusion.zero_terminal_snr == (prediction == "v")
    assert model.diffusion.base_scale == scale
    assert unet.learnable_gate == (preset == "256")
    assert (unet.model_channels, unet.channel_mult, unet.num_head_channels) == (320, (1, 2, 4, 4), 64)
    assert config.data.sampling.fps_condition == fps_condition
    assert config.validation.sampling.spacing == ("uniform" if preset == "256" else "uniform_trailing")


@pytest.mark.parametrize("preset", ["256", "512", "1024"])
@pytest.mark.parametrize(
    ("stage", "lr", "steps", "zero"), [(1, 1e-4, 1_000_000, 1), (2, 5e-5, 30_000, 2), (3, 5e-5, 100_000, 2)]
)
def test_presets_hold_the_papers_recipe(preset, stage, lr, steps, zero):
    config = resolve(stage, preset)
    assert (config.optimizer.lr, config.train.steps, config.train.global_batch) == (lr, steps, 64)
    assert config.train.zero_stage == zero
    sampling = config.data.sampling
    assert (sampling.drop_text, sampling.drop_image, sampling.drop_both) == (0.05, 0.05, 0.05)
    assert sampling.condition == "random"


@pytest.mark.parametrize(
    ("assignment", "meant"),
    [
        ("trian.steps=3", "train.steps"),
        ("train.step=3", "train.steps"),
        ("optimizer.steps=3", "train.steps"),
        ("lr=1", "optimizer.lr"),
        ("model.unet.model_chanels=3", "model.unet.model_channels"),
        ("data.sampling.strid=[1,2]", "data.sampling.stride"),
    ],
)
def test_a_misspelt_key_names_the_nearest_one(assignment, meant, tmp_path):
    with pytest.raises(AnimaticError, match=f"unknown configuration key .* did you mean '{meant}'"):
        resolve(1, "tiny", [assignment])
    name, value = assignment.split("=")
    file = tmp_path / "own.yaml"
    file.write_text(
        "".join(f"{'  ' * n}{part}:\n" for n, part in enumerate(name.split(".")))[:-1] + f" {value}"
    )
    with pytest.raises(AnimaticError, match=f"did you mean '{meant}'"):
        resolve(1, "tiny", files=[file])


@pytest.mark.parametrize(("every", "needed"), [(1, 5), (2, 3), (3, 3), (4, 2)])
def test_a_run_that_may_go_back_keeps_a_checkpoint_of_before_the_skipped_steps(every, needed):
    sets = ["guard.rollback_after=5", f"train.checkpoint_every={every}"]
    resolve(1, "tiny", [*sets, f"train.keep_checkpoints={needed}"])
    with pytest.raises(AnimaticError, match=f"set train.keep_checkpoints={needed} or more"):
        resolve(1, "tiny", [*sets, f"train.keep_checkpoints={needed - 1}"])


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("train.steps=many", "train.steps: .*integer"),
        ("train.steps", "not an assignment"),
        ("train=3", "is a section"),
        ("train.steps=[", "not valid YAML"),
        ("model.unet.temporal=true", "stage 1 of this model sets model.unet.temporal to False"),
        ("data.sampling.frames=4", "set only model.frames"),
        ("train.image_batches=0.5", "stage 0 only"),
        ("train.zero_stage=4", "train.zero_stage"),
        ("model.student.text_guidance=[1, 4]", "model.student.text_guidance is for stage 4"),
        ("ablation.no_context=true", "start with stage 2"),
        ("ablation={joint: true, one_stage: true}", "choose one"),
        ("ablation={class_token: true, no_context: true}", "choose one"),
        ("train.micro_batch=3", "does not divide"),
        ("guard.rollback_after=11", "is above train.max_skipped 10"),
        ("data.buckets=[{height: 64, width: 60, frames: 8}]", "multiples of 16 for this network: 64x60x8"),
        ("data.buckets=[{height: 64, width: 64, frames: 0}]", "data.buckets.0.frames"),
    ],
)
def test_invalid_values_are_reported_in_one_line(assignment, message):
    with pytest.raises(AnimaticError, match=message) as caught:
        resolve(1, "tiny", [assignment])
    assert "\n" not in str(caught.value)


def test_bf16_weights_need_sharded_masters():
    with pytest.raises(AnimaticError, match="fp32 master weights in ZeRO"):
        resolve(2, "tiny", ["train.precision=bf16", "train.zero_stage=0"])


def test_image_batches_are_rejected_with_zero_3():
    with pytest.raises(AnimaticError, match="ZeRO stage 3 cannot"):
        resolve(0, "tiny", ["train.zero_stage=3", "train.image_batches=0.1"])


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["schedule=cosine", "warmup_steps=200"], "begins after the 200 steps of the warm-up"),
        (["schedule=linear", "final_lr=1"], "final_lr 1.0 is above lr"),
        (["schedule=linear", "decay_steps=20", "warmup_steps=20"], "includes the 20 of the warm-up"),
        (["final_lr=1e-5"], "for optimizer.schedule linear or cosine"),
    ],
)
def test_schedules_that_cannot_be_followed_are_refused(sets, message):
    with pytest.raises(AnimaticError, match=message):
        resolve(2, "tiny", ["train.steps=200", *(f"optimizer.{each}" for each in sets)])


def test_an_average_that_would_never_begin_is_refused():
    with pytest.raises(AnimaticError, match="not before the last of 9 steps"):
        resolve(2, "tiny", ["train.steps=9", "train.ema_start=9"])
    assert resolve(2, "tiny", ["train.steps=9", "train.ema_start=8"]).train.ema_start == 8


def test_offload_is_refused_where_zero_shards_nothing_to_move():
    with pytest.raises(AnimaticError, match="use zero_stage 1 to 3"):
        resolve(2, "tiny", ["train.zero_stage=0", "train.offload_optimizer=true"])
    with pytest.raises(AnimaticError, match="needs zero_stage 3, not 2"):
        resolve(2, "tiny", ["train.zero_stage=2", "train.offload_parameters=true"])
    with pytest.raises(AnimaticError, match="set activation_checkpointing to full or selective"):
        resolve(2, "tiny", ["train.activation_checkpointing=none", "train.offload_activations=true"])


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_length_of_a_run_decides_its_weights_where_the_rate_falls_over_it(schedule):
    def trajectory(*sets: str) -> str:
        return trajectory_hash(resolve(3, "512", [f"optimizer.schedule={schedule}", *sets]))

    assert trajectory("train.steps=90000") != trajectory("train.steps=100000")
    # A longer run can continue a shorter one, with the rate at which that one ended.
    longer = trajectory("train.steps=100000", "optimizer.decay_steps=90000")
    assert longer == trajectory("train.steps=90000")


def test_an_unknown_preset_stage_or_file_is_named(tmp_path):
    with pytest.raises(
        AnimaticError, match="preset 'small' does not exist: choose one of tiny, 256, 512, 1024"
    ):
        resolve(1, "small")
    with pytest.raises(AnimaticError, match="stage 5 does not exist"):
        resolve(5, "tiny")
    with pytest.raises(AnimaticError, match="cannot read configuration"):
        resolve(1, "tiny", files=[tmp_path / "none.yaml"])


def test_later_layers_override_earlier_ones(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("train: {steps: 7, global_batch: 32}\noptimizer: {lr: 1e-5}\n")
    config = resolve(2, "512", ["train.steps=9"], [file])
    assert (config.train.steps, config.train.global_batch, config.optimizer.lr) == (9, 32, 1e-5)
    assert config.train.zero_stage == resolve(2, "512").train.zero_stage


def test_frames_follow_the_model():
    config = resolve(2, "512", ["model.frames=24"])
    assert config.data.sampling.frames == config.model.context.frames == 24


def test_invalid_buckets_are_rejected():
    square, large, wide = (
        f"{{height: {h}, width: {w}, frames: {t}}}" for h, w, t in ((64, 64, 8), (128, 128, 8), (64, 96, 4))
    )

    def buckets(*chosen, sets=()):
        size = ["model.height=64", "model.width=64"]
        return resolve(3, "tiny", [*size, f"data.buckets=[{', '.join(chosen)}]", *sets]).data.buckets

    with pytest.raises(AnimaticError, match="64x64x8 and 128x128x8 have the same shape and length"):
        buckets(square, wide, large)
    with pytest.raises(AnimaticError, match="condition is frame 5, but bucket 64x96x4 has only 4"):
        buckets(square, wide, sets=["data.sampling.condition=5"])
    with pytest.raises(
        AnimaticError, match="latents store frames of 64x64, but bucket 64x96x4 has another size"
    ):
        buckets(square, wide, sets=["data.latents=/l"])
    assert len(buckets(square, square.replace("8", "4"), sets=["data.latents=/l"])) == 2


def test_buckets_are_part_of_the_recipe_and_an_empty_list_is_not():
    bucket = "data.buckets=[{height: 320, width: 512, frames: 16}]"
    hashes = {config_hash(resolve(3, "512", [each])) for each in (bucket, "data.buckets=[]", "seed=0")}
    assert len(hashes) == 2


def test_ablations_change_what_they_name():
    assert resolve(3, "512", ["ablation.no_context=true"]).model.context is None
    assert not resolve(3, "512", ["ablation.no_detail_guidance=true"]).model.unet.detail_guidance
    assert resolve(2, "512", ["ablation.first_frame=true"]).data.sampling.condition == "first"
    context = resolve(1, "512", ["ablation.class_token=true"]).model.context
    assert context is not None and context.tokens == "class"


def test_the_hash_is_of_the_recipe_and_not_of_locations():
    config = resolve(3, "512")
    locations = [
        "data.dataset=/d",
        "launch.workers=2",
        "tracking.project=x",
        "init.parent=/p",
        "validation.every=3",
    ]
    assert config_hash(resolve(3, "512", locations)) == config_hash(config)
    assert config_hash(resolve(3, "512", ["optimizer.lr=1e-5"])) != config_hash(config)
    longer = resolve(3, "512", ["train.steps=5"])
    assert config_hash(longer) != config_hash(config)
    assert trajectory_hash(longer) == trajectory_hash(config)
    assert trajectory_hash(resolve(3, "512", ["seed=1"])) != trajectory_hash(config)


def test_a_configuration_is_resolved_without_heavy_libraries():
    code = (
        "import sys; from training.config import config_hash, resolve; config_hash(resolve(3, 'tiny')); "
        "print([name for name in ('torch', 'ray', 'pyarrow', 'mlflow', 'av') if name in sys.modules])"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "[]"
