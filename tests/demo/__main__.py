# SPDX-License-Identifier: MIT
"""python3 -m demo - runs the demonstration; report and pictures go to build/demo/."""

import json
import shutil
import sys

from lab import Session, paths
from . import camera

KERNEL, FRAMES = "7.2", 120


def table(result):
    frames, copies, same = result["frames"], result["copies"], result["same_pages"]
    image = result["image"]
    rows = [
        ("guest", f"Linux {result['kernel']}, first command after {result['boot_seconds']} s"),
        ("camera", f"vivid, {image['width']}x{image['height']} {image['fourcc']}, {result['buffers']} buffers "
                   f"in {result['extents']} extents of guest RAM"),
        ("how the host gets them", result["path"]),
        ("frames sent, received, lost", f"{frames['sent']}, {frames['received']}, {frames['lost']}"),
        ("frames to a second consumer", f"{frames['received_by_onlooker']} (the one with the marker, too)"),
        ("frames given back", frames["released"]),
        ("frames per second", f"{frames['per_second']} (the camera's pattern generator sets the pace)"),
        ("daemon to program, us", ", ".join(f"{name} {value:.0f}"
                                            for name, value in result["latency_us"].items())),
        ("pixel bytes copied by daemon", f"{copies['daemon_pixel_bytes_copied']} (during {copies['frames_watched']} "
         f"frames it copied {copies['daemon_bytes_copied']} bytes, all of them messages, and accessed "
         f"{copies['daemon_pages_accessed']} pages of guest RAM; a frame has {copies['pages_of_a_frame']})"),
        ("pixel bytes copied by library", f"{copies['library_pixel_bytes_copied']} (a program that takes frames and "
         f"looks at none accessed {copies['library_pages_accessed']} of their pages)"),
        ("guest's marker, read on the host", same["marker_of_guest_read_on_host"] or "NO"),
        ("host's marker, read in the guest", same["marker_of_host_read_in_guest"] or "NO"),
        ("memfd offsets = guest addresses", "yes" if same["guest_addresses_equal_memfd_offsets"] else "NO"),
    ]
    return "\n".join(f"{name:34}{value}" for name, value in rows) + "\n"


def main():
    out = paths.BUILD / "demo"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with Session("demo") as lab:
        result = camera.run(lab, KERNEL, FRAMES, out)
    wrong = camera.faults(result)
    result["faults"] = wrong
    (out / "report.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    (out / "report.txt").write_text(table(result), encoding="utf-8")
    print("\n" + table(result))
    print("pictures:")
    for picture in result["pictures"]:
        print(f"  {picture}")
    print(f"report:\n  {out / 'report.json'}\n  {out / 'report.txt'}")
    for fault in wrong:
        print(f"FAILED: {fault}")
    return 1 if wrong else 0


try:
    sys.exit(main())
except KeyboardInterrupt:
    sys.exit(130)
