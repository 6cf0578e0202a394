"""Steps of weakly supervised and explanation-guided segmentation: image -> network -> maps -> labels -> score."""
