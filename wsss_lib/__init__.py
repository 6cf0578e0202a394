"""Steps of weakly supervised and explanation-guided semantic segmentation: image -> network -> maps -> labels -> score."""
