"""Every parameter file fits its notebook, keeps its promise header, and names runs that exist."""

from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from torchvision.models import get_model_weights, list_models

from wsss_lib.data.download import ITEMS
from wsss_lib.parameters import read_parameters, read_yaml
from wsss_lib.paths import NOTEBOOKS, PARAMS, PROJECT

read_parameters = cache(read_parameters)  # of 23 notebooks, for hundreds of files
FILES = sorted(PARAMS.glob("*/*.yaml"))
PROFILES = {"smoke", "demo", "photos", "paper"}


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("path", FILES, ids=named)
def test_values_fit_the_parameters_cell(path):
    spec = read_parameters(NOTEBOOKS / f"{path.parent.name}.ipynb")
    values, _ = read_yaml(path)
    assert set(spec.validate(values)) == set(spec.names)
    assert "seed" in spec.names, "every notebook takes a seed"


@pytest.mark.parametrize("path", FILES, ids=named)
def test_files_begin_with_a_promise(path):
    assert path.stem.partition("_")[0] in PROFILES, f"a file is <profile>.yaml or <profile>_<variant>.yaml: {path.name}"
    _, promise = read_yaml(path)
    for word in ("promise:", "expect:", "takes:"):
        assert word in promise.text, f"{path} lacks the header line '# {word} ...'"
    assert promise.expected_seconds and promise.expected_megabytes, "'takes:' gives seconds and megabytes"


@pytest.mark.parametrize("path", FILES, ids=named)
def test_inputs_name_runs_of_parameter_files(path):
    spec = read_parameters(NOTEBOOKS / f"{path.parent.name}.ipynb")
    values, _ = read_yaml(path)
    for name, value in spec.validate(values).items():
        for run_id in value if isinstance(value, list) else [value]:
            if name.endswith("_from") and run_id and "*" not in run_id:
                assert (PARAMS / f"{run_id}.yaml").exists(), f"{name} of {path} names {run_id}, which no file makes"


@pytest.fixture(scope="module")
def weight_sets():
    """Names that torchvision has for weights."""
    return {weights.name for model in list_models() for weights in get_model_weights(model)}


@pytest.mark.parametrize("path", [path for path in FILES if path.stem.startswith("paper")], ids=named)
def test_what_paper_files_read_can_be_downloaded(path, weight_sets):
    spec = read_parameters(NOTEBOOKS / f"{path.parent.name}.ipynb")
    values = spec.validate(read_yaml(path)[0])
    made_there = {f"{values['coco']}/voc"} if values.get("coco") else set()
    given = {place for item in ITEMS.values() for place in item.paths} | made_there | weight_sets
    for parameter in spec.parameters:
        if "WSSS_DATA" in parameter.comment or parameter.name in ("weights", "teacher_weights", "data"):
            value = values[parameter.name]
            assert value in {"", parameter.default} | given, f"no item brings {parameter.name} {value} of {path}"


@pytest.mark.parametrize("path", [path for path in FILES if path.stem.startswith("photos")], ids=named)
def test_the_readme_describes_what_photos_files_read(path):
    values, _ = read_yaml(path)
    read = [values[name] for name in ("data", "weights", "vectors") if values.get(name)]
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert all(f"\n| `{place.partition('/')[0]}` | " in text for place in read)


@pytest.mark.parametrize("notebook", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_defaults_are_the_smoke_values(notebook):
    spec = read_parameters(notebook)
    path = PARAMS / notebook.stem / "smoke.yaml"
    assert path.exists(), (
        f"{notebook.name} needs params/{notebook.stem}/smoke.yaml with the values of its parameters cell"
    )
    values, _ = read_yaml(path)
    assert spec.validate(values) == spec.defaults, (
        f"{path.name} of {notebook.stem} must say what the parameters cell says"
    )


#: every option that the original programs take, by the original
ORIGINAL_OPTIONS = {
    "liuvince/mva-wsss": (
        "num_workers seed gpus precision image_size n_clusters train_batch_size val_batch_size lr wt_dec "
        "gradient_clip_val max_epochs mixup manifold_mixup fmix ent concent knowledge_distillation ent_loss_weight "
        "concent_loss_weight knowledge_distillation_loss_weight load_model pretrained_weights data_train "
        "data_train_aug data_val data_cam_generation log_dir distill_dir cam_dir vit_features_dir "
        "compute_vit_features cam_eval_thres features_dir data_train_in data_val_in data_train_out data_val_out "
        "low_alpha high_alpha out_la_crf out_ha_crf img_dir"
    ),
    "sukrutrao/Model-Guidance": (
        "model_backbone model_path dataset data_path save_path log_path total_epochs learning_rate seed "
        "train_batch_size eval_batch_size localization_loss_lambda layer localization_loss_fn attribution_method "
        "optimize_explanations min_fscore pareto annotated_fraction evaluation_frequency box_dilation_percentage"
    ),
    "NUST-Machine-Intelligence-Laboratory/KTSE/segmentation": (
        "amp dist determ gpu_id run_id logging_path_base logging_tag seed ckpt test config ignore_bg mix_aug "
        "mix_prob bdry_size bdry_whb bdry_whi bdry_wlb bdry_wli warm_up highres_t save_logits test_msc "
        "logits_dir n-jobs crf mode"
    ),
    "ErikBuis/FACT2023": (
        "batch-size cat-frac dir-data dir-save epochs layer-classifier layer-target margin model name "
        "num-workers path-model random refer save-every seed train-frac wandb word-embedding-dim method "
        "num-heatmaps num-tokens p s threshold-iou u weigh-s-by-relevance"
    ),
    "YuYang0901/LaViSE": (
        "batch-size num-workers word-embedding-dim save-dir save-every epochs random layer model refer "
        "pretrain name anno-rate margin f method num-output model-path thresh-path max-path s p"
    ),
    "NUST-Machine-Intelligence-Laboratory/KTSE, stage 1": (
        "name model train_list val_list batch_size resize crop TH T W RCAM_T lr wt_dec max_epochs seed vis "
        "dict crf alphas print_freq M CRF cj num_workers gpu out_num load_epo infer_list task dict_dir list "
        "gt_dir"
    ),
    "NUST-Machine-Intelligence-Laboratory/KTSE, stage 2": (
        "conf_fg_thres conf_bg_thres irn_crop_size irn_batch_size irn_num_epoches irn_learning_rate "
        "irn_weight_decay beta exp_times sem_seg_bg_thres ins_seg_bg_thres cam_eval_thres cam_scales "
        "cam_weights_name make_cam_pass eval_cam_pass cam_to_ir_label_pass train_irn_pass make_sem_seg_pass"
    ),
    "Kainmueller-Lab/TW-autoencoder": (
        "dataset data_path num_classes seed crop_size semisup_dataset num_labels uniform_masks model encoder "
        "no_cuda xai epsilon alpha pretrain_weight_name pre_batch_size pre_epochs batch_size epochs "
        "results_path wandb log_imgs save_folder iterative_gradients add_classification loss_impact_seg "
        "loss_impact_bottleneck lr"
    ),
    "jiwoon-ahn/psa": "alpha beta logt",
    "Juliachang/SC-CAM": "k_cluster subcls_loss_weight th low_alpha high_alpha",
    "abhinav-neil/lavise": (
        "words_per_img imgs_per_filter act_q mask_threshold num_top_filters viz_per_filter heatmap_opacity"
    ),
}


def test_every_option_of_the_originals_has_a_place_or_a_reason():
    options = pd.read_csv(PARAMS / "original_options.csv", dtype=str, keep_default_na=False)
    for original, names in ORIGINAL_OPTIONS.items():
        rows = options[options["original"] == original]
        assert {f"--{name}" for name in names.split()} == set(rows["option"])
    assert ((options["parameter"] != "") | (options["note"] != "")).all(), "a parameter, or why there is none"
    for notebook, rows in options[options["parameter"] != ""].groupby("notebook"):
        if (NOTEBOOKS / f"{notebook}.ipynb").exists():
            assert set(rows["parameter"]) <= set(read_parameters(NOTEBOOKS / f"{notebook}.ipynb").names)


def test_every_folder_belongs_to_a_notebook():
    assert {path.parent.name for path in FILES} == {path.stem for path in NOTEBOOKS.glob("*.ipynb")}
    assert FILES, "there are parameter files"
