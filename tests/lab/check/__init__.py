# SPDX-License-Identifier: MIT
"""What `make check` runs, stage by stage; check.sh says in which root."""
