# SPDX-License-Identifier: MIT
"""The demonstration's path end to end: a camera in a guest, its frames on the host."""

from demo import camera


def test_camera(lab, kernel, tmp_path):
    result = camera.run(lab, kernel, 30, tmp_path)
    assert camera.faults(result) == []
    assert [picture for picture in tmp_path.glob("*.png") if picture.read_bytes()[:4] == b"\x89PNG"]
