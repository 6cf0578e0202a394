"""Prints are compared with ours only under the same protocol."""

import numpy as np

from wsss_lib import tables


def test_published_is_subtracted_only_on_the_same_data(tmp_path):
    records = [
        {"notebook": "10_cam", "variant": "", "scores": {"mean_iou_val": iou}, "parameters": {"data": "benchmark"}}
        for iou in (40.0, 44.0)
    ]
    header = "paper,table,row,notebook,variant,data,split,metric,value,source\n"
    rows = [
        "P,T1,CAM,10_cam,,benchmark,val,mean_iou,45.0,s\n",
        "P,T1,CAM,10_cam,,VOC,val,mean_iou,50.0,s\n",
        "P,T1,BECO,22_beco,,VOC,val,mean_iou,73.0,s\n",
    ]
    (tmp_path / "published.csv").write_text(header + "".join(rows))
    beside = tables.published_beside_ours(tables.published_numbers(tmp_path / "published.csv"), records)
    assert beside["ours"].tolist()[:2] == [42.0, 42.0] and np.isnan(beside["ours"][2])
    assert beside["difference"][0] == -3.0 and beside["difference"][1:].isna().all()
    assert beside["note"].tolist() == ["", "ours on benchmark", "not run"]


def test_the_committed_prints_are_complete():
    published = tables.published_numbers()
    lowest = -100 * published["metric"].str.endswith("_gain")
    assert published["value"].between(lowest, 100).all() and len(published) > 20
    assert (published[["paper", "table", "row", "notebook", "data", "split", "metric", "source"]] != "").all().all()
    assert not published.duplicated(["paper", "table", "row", "data", "split", "metric"]).any()
