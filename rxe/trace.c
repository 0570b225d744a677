// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * The bodies of the tracepoints.
 */
#include "counters.h"

#define CREATE_TRACE_POINTS
#include "trace.h"
