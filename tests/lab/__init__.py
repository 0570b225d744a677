# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""The laboratory: what tests and benchmarks use to set up and watch."""
