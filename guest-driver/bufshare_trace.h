/* SPDX-License-Identifier: GPL-2.0-only */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM bufshare

#if !defined(_BUFSHARE_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _BUFSHARE_TRACE_H

#include <linux/tracepoint.h>
#include <linux/uuid.h>

/* error: 0 or a negative errno; the UUID is null if the device gave none. */
TRACE_EVENT(bufshare_export,
	TP_PROTO(int dev, const uuid_t *uuid, u64 size, u32 extents, int error),
	TP_ARGS(dev, uuid, size, extents, error),
	TP_STRUCT__entry(
		__field(int, dev)
		__array(u8, uuid, UUID_SIZE)
		__field(u64, size)
		__field(u32, extents)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->dev = dev;
		export_uuid(__entry->uuid, uuid);
		__entry->size = size;
		__entry->extents = extents;
		__entry->error = error;
	),
	TP_printk("bufshare%d uuid=%pUb size=%llu extents=%u error=%d", __entry->dev,
		  __entry->uuid, __entry->size, __entry->extents, __entry->error)
);

/* users: those who still use the pages; they stay pinned until bufshare_idle. */
TRACE_EVENT(bufshare_unexport,
	TP_PROTO(int dev, const uuid_t *uuid, u64 size, u32 users, int error),
	TP_ARGS(dev, uuid, size, users, error),
	TP_STRUCT__entry(
		__field(int, dev)
		__array(u8, uuid, UUID_SIZE)
		__field(u64, size)
		__field(u32, users)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->dev = dev;
		export_uuid(__entry->uuid, uuid);
		__entry->size = size;
		__entry->users = users;
		__entry->error = error;
	),
	TP_printk("bufshare%d uuid=%pUb size=%llu users=%u error=%d", __entry->dev,
		  __entry->uuid, __entry->size, __entry->users, __entry->error)
);

/* The pages are about to be unpinned. */
TRACE_EVENT(bufshare_idle,
	TP_PROTO(int dev, const uuid_t *uuid, u64 size),
	TP_ARGS(dev, uuid, size),
	TP_STRUCT__entry(
		__field(int, dev)
		__array(u8, uuid, UUID_SIZE)
		__field(u64, size)
	),
	TP_fast_assign(
		__entry->dev = dev;
		export_uuid(__entry->uuid, uuid);
		__entry->size = size;
	),
	TP_printk("bufshare%d uuid=%pUb size=%llu", __entry->dev, __entry->uuid, __entry->size)
);

TRACE_EVENT(bufshare_publish,
	TP_PROTO(int dev, u32 stream, u64 sequence, u32 listeners, int error),
	TP_ARGS(dev, stream, sequence, listeners, error),
	TP_STRUCT__entry(
		__field(int, dev)
		__field(u32, stream)
		__field(u64, sequence)
		__field(u32, listeners)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->stream = stream;
		__entry->sequence = sequence;
		__entry->listeners = listeners;
		__entry->error = error;
	),
	TP_printk("bufshare%d stream=%u sequence=%llu listeners=%u error=%d", __entry->dev,
		  __entry->stream, __entry->sequence, __entry->listeners, __entry->error)
);

TRACE_EVENT(bufshare_release,
	TP_PROTO(int dev, u32 stream, u64 sequence),
	TP_ARGS(dev, stream, sequence),
	TP_STRUCT__entry(
		__field(int, dev)
		__field(u32, stream)
		__field(u64, sequence)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->stream = stream;
		__entry->sequence = sequence;
	),
	TP_printk("bufshare%d stream=%u sequence=%llu", __entry->dev, __entry->stream,
		  __entry->sequence)
);

TRACE_EVENT(bufshare_resync,
	TP_PROTO(int dev),
	TP_ARGS(dev),
	TP_STRUCT__entry(
		__field(int, dev)
	),
	TP_fast_assign(
		__entry->dev = dev;
	),
	TP_printk("bufshare%d", __entry->dev)
);

#endif /* _BUFSHARE_TRACE_H */

/* Found through the include path: Kbuild adds this folder. */
#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE bufshare_trace
#include <trace/define_trace.h>
