"""Small folders of ratings, written by other libraries than the one under test."""

from written_results import write_results

from microscope_quality.files.columns import names
from microscope_quality.measuring.rating import Rating
from microscope_quality.measuring.settings import Settings

COLUMNS = names(Settings(measures=(Rating(),)).columns()["results.csv"])
RECORD = {"settings": {"measures": ["rating"], "score_limit": 0.5}}


def rated_row(file, score=0.9, **more):
    """A row as `rate` writes it, of a sharp image with little noise."""
    return {
        "file": file,
        "width": 100,
        "height": 90,
        "score": f"{score:g}",
        "score_low": f"{max(0.1, score - 0.03):g}",
        "score_high": f"{min(1, score + 0.03):g}",
        "blur_px": 0.7,
        "elongation": 1.05,
        "angle_deg": 10,
        "noise": 0.05,
        "line_noise": 0,
        "jitter_px": 0,
        "status": "good" if score >= 0.5 else "poor",
        "frame_digest": f"{file:0>32}",
        **more,
    }


def failed_grab(file, fault, **more):
    numbers = dict.fromkeys(("score", "score_low", "score_high", "blur_px"), "")
    told = {"status": "failed_grab", "cause": fault, "action": "retake", "fault": fault}
    return {**rated_row(file), **numbers, **told, **more}


def write(folder, rows, **record):
    return write_results(folder, rows, COLUMNS, {**RECORD, **record})
