import torch

from wsss_lib.labels.mask_scores import mask_scores, predicted_classes


def test_scores_of_all_classes_are_a_softmax():
    maps = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(mask_scores(maps), maps.exp() / maps.exp().sum(1, keepdim=True))


def test_absent_classes_get_nothing_and_background_always_counts():
    maps = torch.randn(2, 3, 4, 5)
    scores = mask_scores(maps, torch.tensor([[False, True], [False, False]]))
    assert not scores[0, 1].any() and scores[1, 0].eq(1).all()
    torch.testing.assert_close(scores.sum(1), torch.ones(2, 4, 5))
    torch.testing.assert_close(scores[0, 2], (maps[0, 2] - maps[0, 0]).sigmoid())


def test_a_class_is_predicted_above_the_threshold():
    assert predicted_classes(torch.tensor([-2.0, 0.0, 2.0]), 0.1).tolist() == [True, True, True]
    assert predicted_classes(torch.tensor([-3.0, 0.0, 2.0])).tolist() == [False, False, True]
