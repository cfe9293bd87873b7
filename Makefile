# SPDX-License-Identifier: MIT
# The front door. User space is built by meson, the guest driver by Kbuild; demo, check and bench run in
# Debian roots that the lab builds once (tests/lab/README.md), as root.

LAB = tests/lab
IN_LAB = $(LAB)/bootstrap.sh trixie && setpriv --pdeathsig TERM $(LAB)/enter.sh trixie --

all: build/native/build.ninja
	@ninja -C build/native

build/native/build.ninja:
	@packaging/need-build-tools.sh
	@meson setup build/native

# Builds, then shows it at work: a camera's frames in a guest, pictures of them on the host.
demo:
	@$(IN_LAB) sh -c '$(LAB)/build-vm.sh && exec python3 -m demo'

check:
	@$(LAB)/check.sh

bench:
	@$(IN_LAB) tests/bench/run

# The Debian roots and guest images only.
lab:
	@$(LAB)/bootstrap.sh
	@$(LAB)/enter.sh trixie -- python3 -m lab

install: all
	@meson install -C build/native
	@echo "The guest driver is installed in the guest, by DKMS or by hand: see guest-driver/README.md."

clean:
	rm -rf build

.PHONY: all demo check bench lab install clean
