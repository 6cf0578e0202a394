"""Dense CRF of the simulated inter-image erasing seed, of IRN and of BECO against the authors' own."""

import numpy as np
import torch.nn.functional as F

from wsss_lib.labels.dense_crf import alpha_scores, label_scores
from wsss_lib.scores.segmentation import confusion_matrix, mean_iou
from wsss_lib.tests.compiled_crf import with_both_crfs
from wsss_lib.tests.golden_files import conforms

DIFFERING = 0.005  # share of pixels, from the notes of the files


def check_labels(golden, key, label_map):
    """All but a few pixels have the stored label, and one label everywhere would not pass."""
    stored = golden[key]
    assert label_map.shape == stored.shape
    assert (label_map.numpy() != stored).mean() <= DIFFERING
    assert all((stored != label).mean() > DIFFERING for label in np.unique(stored))


@with_both_crfs
@conforms("ktse/ktse_alpha_crf")
def test_alpha_crf(golden, crf):
    for case in golden.cases:
        image = (golden.tensor(f"in_{case}_img").permute(1, 2, 0) * 255).byte()
        params = golden.params[case]
        marginals = crf(
            image,
            alpha_scores(golden.tensor(f"in_{case}_cam"), params["alpha"]),
            gaussian=(params["gauss_sxy"], params["gauss_compat"]),
            bilateral=(params["bilateral_sxy"], params["bilateral_srgb"], params["bilateral_compat"]),
            iterations=params["t"],
        )
        golden.check(f"out_{case}_score", marginals)
        golden.check(f"out_{case}_keys", F.pad(golden.tensor(f"in_{case}_keys") + 1, (1, 0)))


@with_both_crfs
@conforms("ktse/irn_crf_label")
def test_crf_of_a_label_map(golden, crf):
    for case in golden.cases:
        params = golden.params[case]
        marginals = crf(
            golden[f"in_{case}_img"],
            label_scores(golden.tensor(f"in_{case}_labels"), params["n_labels"], params["gt_prob"]),
            gaussian=(params["gauss_sxy"], params["gauss_compat"]),
            bilateral=(params["bilateral_sxy"], params["bilateral_srgb"], params["bilateral_compat"]),
            iterations=params["t"],
        )
        check_labels(golden, f"out_{case}_labels", marginals.argmax(0))


@with_both_crfs
@conforms("ktse/beco_postprocess_crf")
def test_postprocessing_of_logits(golden, crf):
    confusion = 0
    for case in golden.cases:
        params, mask = golden.params[case]["params"], golden[f"in_{case}_truth"]
        logits = F.interpolate(golden.tensor(f"in_{case}_logits")[None], mask.shape, mode="bilinear")[0]
        marginals = crf(
            golden[f"in_{case}_crf_image"],
            logits.softmax(0),
            gaussian=(params["pos_xy_std"], params["pos_w"]),
            bilateral=(params["bi_xy_std"], params["bi_rgb_std"], params["bi_w"]),
            iterations=params["iter_max"],
        )
        check_labels(golden, f"out_{case}_pred", marginals.argmax(0))
        confusion = confusion + confusion_matrix(marginals.argmax(0), mask, len(logits))
    for case in golden.cases:
        golden.check(f"out_{case}_miou_all", mean_iou(confusion, counted="true") / 100, rtol=DIFFERING)
