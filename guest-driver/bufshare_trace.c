// SPDX-License-Identifier: GPL-2.0-only
/* virtio_bufshare: the bodies of the tracepoints. */
#ifndef __CHECKER__ /* sparse does not see through the macros */
#define CREATE_TRACE_POINTS
#include "bufshare_trace.h"
#endif
