# SPDX-License-Identifier: MIT
"""What `make demo` shows: a camera's frames in a guest, used by programs of the host without a copy."""
