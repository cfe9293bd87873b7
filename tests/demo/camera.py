# SPDX-License-Identifier: MIT
"""One guest's camera: its frames on the host, as pictures, and what it took.

The guest's publisher and the host's capture are the bufshare command, as anybody would use it. Besides
them a second consumer on the host takes every frame and looks at none: what it has touched in the end
is what taking frames costs.
"""

import json

from lab import paths
from lab.process import Timeout
from . import pages

VM = "camera-vm"
STREAM = "camera"
RAM = "memory-backend-memfd"
WIDTH, HEIGHT, FORMAT = 1280, 720, "YUYV"
BUFFERS = 4
# Sizes in include/virtio_bufshare.h: STREAM_PUBLISH with its response, and an event.
PUBLISH_BYTES, EVENT_BYTES = 48 + 16, 40
LOOK_SECONDS = 0.5
SECONDS_PER_FRAME = 4  # an emulated guest may take that long for one, at worst


def say(text):
    print(text, flush=True)


def follow(lab, capture, frames, each):
    """Waits for the capture to end, and calls each(counters of the daemon) on the way."""
    shown = -1
    for _ in range(int(frames * SECONDS_PER_FRAME / LOOK_SECONDS)):
        try:
            return capture.wait(timeout=LOOK_SECONDS)
        except Timeout:
            now = stats(lab)
            each(now)
            published = min(now["frames_published"], frames)
            if published // 20 != shown:
                shown = published // 20
                say(f"  {published} of {frames} frames published")
    raise Timeout(f"{frames} frames in {frames * SECONDS_PER_FRAME} s")


def stats(lab):
    return json.loads(lab.client("stats", "--json", env=lab.environment).stdout)


def ranges(buffer, start):
    """[(start, length)] of a buffer in a report, neighbours merged as guest and daemon may do differently."""
    merged = []
    for one in buffer["ranges"]:
        if merged and sum(merged[-1]) == one[start]:
            merged[-1] = (merged[-1][0], merged[-1][1] + one["length"])
        else:
            merged.append((one[start], one["length"]))
    return merged


def run(lab, kernel, frames, out):
    """Boots, publishes, captures; returns the report, a dictionary. Pictures go to the folder `out`."""
    say(f"starting the daemon and a guest with Linux {kernel}")
    daemon = lab.daemon(vms=[VM], arguments=["--trust=uid=0:rw"])
    lab.environment = {"BUFSHARE": str(daemon.client_socket)}
    vm = lab.vm(kernel, name=VM, daemon=daemon.sockets[VM], modules=["vivid", "virtio_bufshare"])
    say(f"  first command after {vm.boot_seconds:.1f} s")

    consumer = [paths.CLIENT, "capture", f"{VM}/{STREAM}", "--wait", "--json", "--extents"]
    capture = lab.process([*consumer, f"--frames={frames}", f"--every={max(1, frames // 5)}", "--marker",
                           f"--out={out}"], "capture", env=lab.environment)
    onlooker = lab.process([*consumer, "--frames=0", "--every=0", f"--out={out}"], "onlooker",
                           env=lab.environment)
    say(f"publishing {frames} frames of the guest's camera, {WIDTH}x{HEIGHT} {FORMAT}")
    publisher = vm.spawn(f"exec bufshare publish --device=/dev/video0 --width={WIDTH} --height={HEIGHT} "
                         f"--format={FORMAT} --buffers={BUFFERS} --frames={frames} --stream={STREAM} "
                         "--wait-listener --marker --extents --json")

    counted = {}

    def look(now):
        if now["frames_published"] >= frames:
            return  # what comes now is the end: other requests than PUBLISH
        if "from" in counted:
            counted["to"] = now
            counted["daemon"] = pages.accessed(daemon.process.pid, RAM)
            counted["onlooker"] = pages.accessed(onlooker.pid, RAM)
        elif now["frames_published"] >= 2 * BUFFERS:
            # Everything is mapped by now; from here on it is frames and nothing else.
            for process in (daemon.process, onlooker):
                pages.forget_accesses(process.pid)
            counted.update({"from": now, "to": now, "daemon": 0, "onlooker": 0})

    try:
        status = follow(lab, capture, frames, look)
        publisher.wait()
        onlooker.wait()
    except BaseException:
        say(f"publisher: {publisher}")
        raise
    if status or publisher.status or onlooker.child.returncode:
        raise RuntimeError(f"capture: {status}, {capture.log_text()}\n{publisher}\n"
                           f"onlooker: {onlooker.log_text()}")
    return report(kernel, frames, vm, json.loads(publisher.stdout), json.loads(capture.log_text()),
                  json.loads(onlooker.log_text()), counted)


def report_copies(frame_size, counted):
    """What was copied while only frames were published. A pixel that is copied is accessed, too."""
    grown = {name: counted["to"][name] - counted["from"][name] for name in counted["to"]}
    messages = PUBLISH_BYTES * grown["requests"] + EVENT_BYTES * grown["events"]
    return {
        "frames_watched": grown["frames_published"],
        "daemon_bytes_copied": grown["control_bytes"],
        "daemon_bytes_of_messages": messages,
        "daemon_pixel_bytes_copied": grown["control_bytes"] - messages,
        "library_pixel_bytes_copied": counted["onlooker"] * pages.PAGE,
        "pages_of_a_frame": -(-frame_size // pages.PAGE),
        # The rings and messages lie in the same memory.
        "daemon_pages_accessed": counted["daemon"],
        "library_pages_accessed": counted["onlooker"],
    }


def report(kernel, frames, vm, guest, host, onlooker, counted):
    seen = {buffer["uuid"]: ranges(buffer, "offset") for buffer in host["buffers"]}
    told = {buffer["uuid"]: ranges(buffer, "address") for buffer in guest["buffers"]}
    marker = guest.get("marker") == host.get("marker") and guest.get("marker") is not None
    return {
        "kernel": kernel,
        "boot_seconds": round(vm.boot_seconds, 2),
        "image": guest["image"],
        "buffers": len(told),
        "extents": sum(buffer["extents"] for buffer in guest["buffers"]),
        "path": host["buffers"][0]["path"],
        "frames": {
            "wanted": frames,
            "sent": guest["frames_sent"],
            "received": host["frames_received"],
            "received_by_onlooker": onlooker["frames_received"],
            "lost": host["frames_lost"],
            "released": guest["frames_released"],
            "per_second": round(host["fps"], 2),
        },
        "latency_us": host["latency_us"],
        "copies": report_copies(guest["buffers"][0]["size"], counted),
        "same_pages": {
            "marker_of_guest_read_on_host": marker and host["marker"]["guest"],
            "marker_of_host_read_in_guest": marker and guest["marker"]["host"],
            "marker_buffer": marker and host["marker"]["uuid"],
            "guest_addresses_equal_memfd_offsets": told == seen,
        },
        "pictures": host["files"],
    }


def faults(result):
    """What is wrong with a report: a list of sentences, empty if it shows what it should."""
    frames, copies, same = result["frames"], result["copies"], result["same_pages"]
    wrong = []
    if frames["sent"] != frames["wanted"]:
        wrong.append(f"{frames['sent']} frames sent, not {frames['wanted']}")
    for who in ("received", "received_by_onlooker", "released"):
        if frames[who] < frames["wanted"]:
            wrong.append(f"only {frames[who]} frames {who}")
    if frames["lost"]:
        wrong.append(f"{frames['lost']} frames lost")
    if copies["frames_watched"] <= 0:
        wrong.append("no frame went by while copies were counted")
    for who in ("daemon", "library"):
        if copies[f"{who}_pixel_bytes_copied"]:
            wrong.append(f"the {who} copied pixels")
    if copies["daemon_pages_accessed"] >= copies["pages_of_a_frame"]:
        wrong.append("the daemon accessed as many pages as a frame has")
    if not same["marker_of_guest_read_on_host"] or not same["marker_of_host_read_in_guest"]:
        wrong.append("the markers did not cross")
    if not same["guest_addresses_equal_memfd_offsets"]:
        wrong.append("the memfd's offsets are not the guest's addresses")
    if not result["pictures"]:
        wrong.append("no picture was written")
    return wrong
