"""Dense CRF of PSA and of DeepLab's post-processing against the authors' own, on the compiled package."""

import torch.nn.functional as F

from wsss_lib.labels.crf_image import CAFFE_MEAN, wrapped_bytes
from wsss_lib.labels.dense_crf import alpha_scores
from wsss_lib.tests.compiled_crf import with_both_crfs
from wsss_lib.tests.golden_files import conforms


@with_both_crfs
@conforms("mva_wsss/crf_inference")
def test_crf_inference(golden, crf):
    scale = int(golden["in_scale_factor"])
    marginals = crf(
        golden["in_image"],
        golden.tensor("in_probs"),
        gaussian=(3 / scale, 3.0),
        bilateral=(80 / scale, 13.0, 10.0),
        iterations=int(golden["in_t"]),
    )
    golden.check("out_q", marginals)


@with_both_crfs
@conforms("mva_wsss/crf_alpha_labels")
def test_crf_alpha_labels(golden, crf):
    maps, present = golden.tensor("in_cam"), golden.tensor("in_keys")
    for name, alpha in (("la", golden.params["low_alpha"]), ("ha", golden.params["high_alpha"])):
        marginals = crf(golden["in_image"], alpha_scores(maps, alpha), iterations=golden.params["t"])
        golden.check(f"out_{name}", marginals)
        golden.check(f"out_{name}_keys", F.pad(present + 1, (1, 0)))


@with_both_crfs
@conforms("mva_wsss/deeplab_crf")
def test_deeplab_crf(golden, crf):
    logits, size, params = golden.tensor("in_logits")[None], golden["in_image"].shape[:2], golden.params
    probabilities = F.interpolate(logits, size, mode="bilinear")[0].softmax(0)
    golden.check("out_prob", probabilities)
    golden.check("out_image_wrapped", wrapped_bytes(golden["in_image"], CAFFE_MEAN[::-1]))  # the image is BGR
    for image, marginals in (("in_image", "out_q"), ("out_image_wrapped", "out_q_wrapped")):
        found = crf(
            golden[image],
            probabilities,
            gaussian=(params["pos_xy_std"], params["pos_w"]),
            bilateral=(params["bi_xy_std"], params["bi_rgb_std"], params["bi_w"]),
            iterations=params["iter_max"],
        )
        golden.check(marginals, found)
