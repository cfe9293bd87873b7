# SPDX-License-Identifier: MIT
"""What is installed is enough: README's programs are built with the installed header, library and
.pc file, and the library exports what its header declares and nothing else.

usage: test_install.py SOURCE BUILD MESON README-CHECK -- COMPILER [ARGUMENT...]
"""

import os
import re
import subprocess
import sys
import tempfile


def output(command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, **options).stdout.decode()


def find(folder, name):
    found = [os.path.join(top, name) for top, _, files in os.walk(folder) if name in files]
    if len(found) != 1:
        sys.exit(f"{name}: installed {len(found)} times")
    return found[0]


def declared(header):
    with open(header, encoding="utf-8") as f:
        text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
    text = re.sub(r"^#.*(?:\\\n.*)*", "", text, flags=re.M)
    return set(re.findall(r"\b(bufshare_\w+)\s*\(", text))


def main():
    source, build, meson, check_samples = sys.argv[1:5]
    compiler = sys.argv[sys.argv.index("--") + 1:]
    with tempfile.TemporaryDirectory() as root:
        output([meson, "install", "-C", build, "--no-rebuild", "--destdir", root])
        header = find(root, "bufshare.h")
        library = os.path.dirname(find(root, "libbufshare.so.0"))
        pc_folder = os.path.dirname(find(root, "libbufshare.pc"))
        for name in ("bufshare", "vhost-user-bufshare", "bufshare.1", "libbufshare.3"):
            find(root, name)
        env = {**os.environ, "PKG_CONFIG_LIBDIR": pc_folder, "PKG_CONFIG_SYSROOT_DIR": root}
        flags = output(["pkg-config", "--cflags", "--libs", "libbufshare"], env=env).split()
        if not any(flag.startswith(f"-I{root}") for flag in flags):
            sys.exit(f"flags that do not lead to what was installed: {flags}")
        subprocess.run([sys.executable, check_samples, os.path.join(source, "README.md"), "2", "--",
                        *compiler, *flags], check=True)
        symbols = {line.split()[-1].split("@")[0]
                   for line in output(["nm", "-D", "--defined-only",
                                       os.path.join(library, "libbufshare.so.0")]).splitlines()}
        symbols.discard("LIBBUFSHARE_0")
        if symbols != declared(header):
            sys.exit(f"exported and declared differ: {sorted(symbols ^ declared(header))}")
        # The binaries find their library in one place or another, and run.
        print(output([find(root, "bufshare"), "--version"],
                     env={**os.environ, "LD_LIBRARY_PATH": library}).strip())


if __name__ == "__main__":
    main()
