/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the programs share with each other, with src/backend/xdp/tables.rs and with
 * src/sys/rings_iter.rs.
 *
 * The first half declares the few pieces of the kernel's user interface that the programs need,
 * so that compiling them takes clang alone: no kernel headers, no vmlinux.h.
 */
#ifndef FLUX_H
#define FLUX_H

typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef signed short __s16;
typedef unsigned int __u32;
typedef signed int __s32;
typedef unsigned long long __u64;
typedef signed long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u16 __sum16;
typedef __u32 __wsum;

/* linux/bpf.h */
enum { BPF_MAP_TYPE_ARRAY = 2, BPF_MAP_TYPE_PERCPU_ARRAY = 6, BPF_MAP_TYPE_XSKMAP = 17 };
enum { XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT };

struct xdp_md {
	__u32 data;
	__u32 data_end;
	__u32 data_meta;
	__u32 ingress_ifindex;
	__u32 rx_queue_index;
	__u32 egress_ifindex;
};

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

/* Written by the program just in front of the packet: `META_MAGIC` in src/umem/frame.rs. */
#define FLUX_META_MAGIC 0x666c7578

struct flux_meta {
	__u32 magic;
	__u32 pad;
	__u64 rx_ns; /* CLOCK_MONOTONIC */
};

/* What a packet has; a match row names what it needs. */
#define FLUX_HAS_IP 1
#define FLUX_HAS_IPV4 2
#define FLUX_HAS_IPV6 4
#define FLUX_HAS_PROTO 8
#define FLUX_HAS_PORTS 16
#define FLUX_HAS_ICMP 32
#define FLUX_HAS_ICMP_ID 64
#define FLUX_HAS_PAYLOAD 128 /* the first 8 bytes behind an ICMP or UDP header */
#define FLUX_HAS_FRAGMENT 256 /* it is a fragment, the first one included */
#define FLUX_LACK_SHIFT 7 /* the lowest of the bits that a row can want a packet to lack */

/*
 * One row, `struct Match` of src/backend/filter.rs. A field that is not set has mask 0 or the
 * whole range, and no bit in `need` or `lack`. Addresses are in network byte order, an IPv4 address
 * in the first word; an Ethernet address and a payload are as their bytes are; everything else is in
 * host byte order. A VLAN is type << 16 | identifier of its tag, below that of an outer tag.
 */
struct flux_match {
	__u32 src[4];
	__u32 src_mask[4];
	__u32 dst[4];
	__u32 dst_mask[4];
	__u16 ether_src[3], ether_src_mask;
	__u16 src_port_min, src_port_max;
	__u16 dst_port_min, dst_port_max;
	__u16 icmp_id_min, icmp_id_max;
	__u16 ether_type, ether_mask;
	__u16 need;
	__u8 ip_proto, proto_mask;
	__u8 icmp_type, icmp_type_mask;
	__u8 quoted;
	__u8 lack; /* bits that a packet must not have, shifted down by FLUX_LACK_SHIFT */
	__u64 vlan, vlan_mask;
	__u64 payload, payload_mask; /* of a packet that has one */
};
_Static_assert(sizeof(struct flux_match) == 128, "shared with src/backend/xdp/tables.rs");

#define FLUX_MAX_MATCHES 32

#define FLUX_FAMILY_OTHER 0 /* no IP, or not to be read as such */
#define FLUX_FAMILY_IPV4 1
#define FLUX_FAMILY_IPV6 2

/*
 * Which rows a datagram can match at all, seen by one thing that it has or lacks: bit n is row n.
 * Only rows whose bit is set in all the words that apply are compared.
 */
struct flux_bits {
	__u32 by_proto[256];
	__u32 by_icmp[256]; /* by type */
	__u32 by_family[3];
	__u32 no_proto; /* for a datagram whose protocol could not be read */
	__u32 no_icmp;	/* for one that has no ICMP type */
};

struct flux_table {
	struct flux_bits plain;
	struct flux_bits quoted; /* rows about the datagram that an error quotes */
	struct flux_match row[FLUX_MAX_MATCHES];
};
_Static_assert(sizeof(struct flux_table) == 2 * 517 * 4 + 32 * 128,
	       "shared with src/backend/xdp/tables.rs");

/*
 * The settings are one word, read once for each packet: so all of them are of one moment, on every
 * CPU.
 */
#define FLUX_SET_TABLE 1 /* which of the two tables is the active one */
#define FLUX_SET_STAMP 2 /* write struct flux_meta */
#define FLUX_SET_EVERYTHING 4 /* redirect without a look at packet or table */
#define FLUX_SET_CLOSED 8 /* drop what is ours and has no socket */

/* Per RX queue and CPU. */
struct flux_counters {
	__u64 redirected;
	__u64 passed;	 /* not ours */
	__u64 no_meta;	 /* redirected without the stamp that was asked for */
	__u64 no_socket; /* ours, on a queue without a socket: passed */
	__u64 dropped;	 /* the same, dropped (FLUX_SET_CLOSED) */
};

/* One ring as the kernel's end has it. */
struct flux_ring {
	__u32 present; /* 0: there is none, and the rest is 0 */
	__u32 size;
	__u32 producer, consumer; /* as published, in memory that the owner can write */
	__u32 cached_prod, cached_cons;
	__u32 flags;
	__u32 pad;
};

struct flux_map_slot {
	__u32 id;
	__u32 key;
};

/* Which fields of struct flux_socket this kernel, and this socket in its state, has. */
#define FLUX_KNOWN_UMEM 1
#define FLUX_KNOWN_COUNTERS 2 /* the last three of `counters`; the others are always known */
#define FLUX_KNOWN_CHUNKS 4
#define FLUX_KNOWN_CHUNK_SIZE 8
#define FLUX_KNOWN_SG 16
#define FLUX_KNOWN_NEED_WAKEUP 32
#define FLUX_KNOWN_TX_BUDGET 64
#define FLUX_KNOWN_TX_METADATA 128
#define FLUX_KNOWN_PREFER_BUSY_POLL 256
#define FLUX_KNOWN_BUSY_POLL_US 512
#define FLUX_KNOWN_BUSY_POLL_BUDGET 1024
#define FLUX_KNOWN_MAPS 2048

#define FLUX_SOCKET_MAGIC 0x666c7873
#define FLUX_MAX_MAP_SLOTS 4

/* An AF_XDP socket under one descriptor: `Record` of src/sys/rings_iter.rs. */
struct flux_socket {
	__u32 magic;
	__u32 known;
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u64 inode;
	__u64 counters[6]; /* in the order of struct xdp_statistics */
	__u64 umem_size;
	__u32 pid; /* in the pid namespace of the reader */
	__s32 fd;
	__u32 netns;
	__u32 state; /* XSK_READY 0, XSK_BOUND 1, XSK_UNBOUND 2 */
	__u32 ifindex; /* 0 unless bound, like the name */
	__u32 queue;
	__u32 zero_copy;
	__u32 sg;
	__u32 uses_need_wakeup;
	__u32 tx_budget;
	__u32 tx_metadata;
	__u32 prefer_busy_poll;
	__u32 busy_poll_us;
	__u32 busy_poll_budget;
	__u32 umem_id;
	__u32 umem_chunks;
	__u32 umem_chunk_size;
	__u32 umem_headroom;
	__u32 umem_users;
	__u32 umem_flags;
	__u32 maps; /* how many of `map` are filled in */
	__u32 pad;
	struct flux_map_slot map[FLUX_MAX_MAP_SLOTS];
	struct flux_ring rx, tx, fill, comp;
	char comm[16];
	char ifname[16];
};
_Static_assert(sizeof(struct flux_socket) == 360, "shared with src/sys/rings_iter.rs");

#endif
