// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Sends the packets that the match table names to the AF_XDP socket of their queue, and passes
 * everything else to the kernel's own stack. A packet that is named, on a queue without a socket, is
 * passed as well (fail open), or dropped where the settings say so (fail closed).
 *
 * Bitmaps tell first which rows a packet can match (struct flux_bits); only those are compared. So
 * what is not ours costs the same few loads whatever the number of rows.
 *
 * Reading rules, which the simulated kernel follows as well:
 * - Up to two VLAN tags (802.1Q, 802.1ad) are skipped; their types and identifiers are the VLAN.
 *   A tag with identifier 0 carries a priority, and is in no VLAN.
 * - An IP header counts when it is whole, says its own version, and its length field stays
 *   within the packet. Of a quoted datagram only the beginning need be there.
 * - IPv6 extension headers: up to 8 of hop-by-hop, routing, destination options, fragment,
 *   authentication, mobility, HIP and shim6. With more, or one whose first 8 bytes are not all
 *   there, the packet has no protocol.
 *   What follows the fragment header of a later fragment is not looked at: the protocol is the
 *   one that header names.
 * - Ports are there in TCP and UDP when 4 bytes of the header are, ICMP type and identifier when
 *   8 bytes are; neither is in later fragments. ICMP is protocol 1 over IPv4, 58 over IPv6.
 *   Identifiers are those of echo requests and replies.
 * - The payload is the first 8 bytes behind the 8 bytes of an ICMP or UDP header, when all of them
 *   are there. In a quoted datagram 8 zeros are none: some routers fill up with them.
 * - Errors that quote a datagram: ICMP types 3, 4, 5, 11, 12; ICMPv6 types 1 to 4.
 */
#include "flux.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/*
 * A table is replaced by writing the one that is not active, then FLUX_SET_TABLE in the settings.
 * The address of the table depends on the settings that were read, so that the table is read after
 * them on every CPU; user space has a fence between its two writes.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct flux_table);
} tables SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} settings SEC(".maps");

/* By RX queue; both get as many entries as the interface has queues before loading. */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} xsks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct flux_counters);
} counters SEC(".maps");

/* What a datagram says, as far as it could be read. */
struct key {
	__u64 vlan;
	__u64 payload, payload_mask; /* no bits where there is no payload */
	__u32 src[4];
	__u32 dst[4];
	__u16 src_port, dst_port;
	__u16 icmp_id;
	__u16 ether_src[3];
	__u16 ether_type;
	__u16 has;
	__u8 ip_proto;
	__u8 icmp_type;
};

/*
 * The packet being judged, and the one it quotes. In a map rather than on the stack, because then
 * the verifier takes the contents as unknown: it looks at the functions below once each instead
 * of once for every way in which a packet can be read (they are global for the same reason).
 */
#define OUTER 0
#define INNER 1

struct scratch {
	struct key key[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

static __always_inline struct scratch *get_scratch(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratch, &zero);
}

#define ETH_HEADER 14
#define ETH_IP 0x0800
#define ETH_IPV6 0x86dd
#define ETH_8021Q 0x8100
#define ETH_8021AD 0x88a8
#define MAX_VLANS 2
#define MAX_EXTENSIONS 8

#define PROTO_HOPOPTS 0
#define PROTO_ICMP 1
#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_ROUTING 43
#define PROTO_FRAGMENT 44
#define PROTO_AH 51
#define PROTO_ICMPV6 58
#define PROTO_DSTOPTS 60
#define PROTO_MOBILITY 135
#define PROTO_HIP 139
#define PROTO_SHIM6 140

/* The verifier wants a bound on offsets; no header that we read lies beyond it. */
#define MAX_OFFSET 0x3fff

/* `len` bytes at `off` if they are inside the packet. */
static __always_inline void *at(struct xdp_md *ctx, __u64 off, __u64 len)
{
	void *end = (void *)(long)ctx->data_end;
	void *p = (void *)(long)ctx->data;

	/* Keeps the compiler from dropping a check that only the verifier needs. */
	asm volatile("" : "+r"(off));
	if (off > MAX_OFFSET)
		return 0;
	p += off;
	if (p + len > end)
		return 0;
	return p;
}

static __always_inline __u16 be16(const void *p)
{
	const __u8 *b = p;

	return (__u16)b[0] << 8 | b[1];
}

static __always_inline void copy_words(__u32 *to, const void *from, int words)
{
	__builtin_memcpy(to, from, words * 4);
}

/* Result of next_extension: protocol in the low byte, then these, then the offset. */
#define EXT_CUT 0x100
#define EXT_LATER_FRAGMENT 0x200
#define EXT_FRAGMENT 0x400 /* the first one as well, but not one in one piece */
#define EXT_OFFSET_SHIFT 16

static __always_inline int is_extension(__u8 proto)
{
	return proto == PROTO_HOPOPTS || proto == PROTO_ROUTING || proto == PROTO_FRAGMENT ||
	       proto == PROTO_AH || proto == PROTO_DSTOPTS || proto == PROTO_MOBILITY ||
	       proto == PROTO_HIP || proto == PROTO_SHIM6;
}

/* What follows the extension header `proto` at `off`. */
__noinline __u64 next_extension(struct xdp_md *ctx, __u64 off, __u64 proto)
{
	const __u8 *p = at(ctx, off, 8);

	if (!p)
		return EXT_CUT;
	if (proto == PROTO_FRAGMENT) {
		__u64 later = be16(p + 2) & 0xfff8 ? EXT_LATER_FRAGMENT : 0;
		__u64 fragment = be16(p + 2) & 0xfff9 ? EXT_FRAGMENT : 0;

		return p[0] | later | fragment | (off + 8) << EXT_OFFSET_SHIFT;
	}
	if (proto == PROTO_AH)
		return p[0] | (off + (p[1] + 2) * 4) << EXT_OFFSET_SHIFT;
	return p[0] | (off + (p[1] + 1) * 8) << EXT_OFFSET_SHIFT;
}

/* Reads the payload at `off`, and nothing from `limit` on. */
static __always_inline void read_payload(struct xdp_md *ctx, __u64 off, __u64 limit, __u64 which,
					 struct key *key)
{
	const __u8 *p = at(ctx, off, 8);
	__u64 payload;

	if (off + 8 > limit || !p)
		return;
	__builtin_memcpy(&payload, p, 8);
	if (which != OUTER && !payload)
		return;
	key->payload = payload;
	key->payload_mask = ~0ULL;
	key->has |= FLUX_HAS_PAYLOAD;
}

/*
 * Reads ports or ICMP fields of the transport header at `off`, and nothing from `limit` on.
 * Returns whether it is an ICMP error, which quotes a datagram.
 */
__noinline int read_transport(struct xdp_md *ctx, __u64 off, __u64 limit, __u64 which)
{
	struct scratch *scratch = get_scratch();
	struct key *key;
	const __u8 *p;
	int v4;

	if (!scratch)
		return 0;
	key = which == OUTER ? &scratch->key[OUTER] : &scratch->key[INNER];
	v4 = key->has & FLUX_HAS_IPV4;
	if (key->ip_proto == PROTO_TCP || key->ip_proto == PROTO_UDP) {
		p = at(ctx, off, 4);
		if (off + 4 > limit || !p)
			return 0;
		key->src_port = be16(p);
		key->dst_port = be16(p + 2);
		key->has |= FLUX_HAS_PORTS;
		if (key->ip_proto == PROTO_UDP)
			read_payload(ctx, off + 8, limit, which, key);
		return 0;
	}
	if (key->ip_proto != (v4 ? PROTO_ICMP : PROTO_ICMPV6))
		return 0;
	p = at(ctx, off, 8);
	if (off + 8 > limit || !p)
		return 0;
	key->icmp_type = p[0];
	key->has |= FLUX_HAS_ICMP;
	if (v4 ? (p[0] == 8 || p[0] == 0) : (p[0] == 128 || p[0] == 129)) {
		key->icmp_id = be16(p + 4);
		key->has |= FLUX_HAS_ICMP_ID;
	}
	read_payload(ctx, off + 8, limit, which, key);
	if (v4)
		return (p[0] >= 3 && p[0] <= 5) || p[0] == 11 || p[0] == 12;
	return p[0] >= 1 && p[0] <= 4;
}

/*
 * Reads the datagram of key->ether_type at `off` into the key `which`. Returns where the datagram
 * quoted by an ICMP error begins, else 0.
 */
__noinline int read_datagram(struct xdp_md *ctx, __u64 off, __u64 which)
{
	struct scratch *scratch = get_scratch();
	__u64 packet_end = (__u64)ctx->data_end - (__u64)ctx->data;
	struct key *key;
	__u64 limit, next;
	const __u8 *p;
	__u8 proto;
	int i;

	if (!scratch)
		return 0;
	key = which == OUTER ? &scratch->key[OUTER] : &scratch->key[INNER];
	if (key->ether_type == ETH_IP) {
		__u64 header, total;

		p = at(ctx, off, 20);
		if (!p)
			return 0;
		header = (p[0] & 15) * 4;
		total = be16(p + 2);
		limit = off + total;
		if (p[0] >> 4 != 4 || header < 20 || total < header || off + header > packet_end)
			return 0;
		if (which == OUTER && limit > packet_end)
			return 0;
		copy_words(key->src, p + 12, 1);
		copy_words(key->dst, p + 16, 1);
		key->ip_proto = p[9];
		key->has = FLUX_HAS_IP | FLUX_HAS_IPV4 | FLUX_HAS_PROTO;
		if (be16(p + 6) & 0x3fff && which == OUTER)
			key->has |= FLUX_HAS_FRAGMENT;
		if (be16(p + 6) & 0x1fff)
			return 0;
		off += header;
	} else if (key->ether_type == ETH_IPV6) {
		p = at(ctx, off, 40);
		if (!p || p[0] >> 4 != 6)
			return 0;
		limit = off + 40 + be16(p + 4);
		if (which == OUTER && limit > packet_end)
			return 0;
		copy_words(key->src, p + 8, 4);
		copy_words(key->dst, p + 24, 4);
		key->has = FLUX_HAS_IP | FLUX_HAS_IPV6;
		proto = p[6];
		off += 40;
		for (i = 0; i < MAX_EXTENSIONS; i++) {
			if (!is_extension(proto))
				break;
			if (off + 8 > limit)
				return 0;
			next = next_extension(ctx, off, proto);
			if (next & EXT_CUT)
				return 0;
			if (next & EXT_FRAGMENT && which == OUTER)
				key->has |= FLUX_HAS_FRAGMENT;
			proto = next;
			off = next >> EXT_OFFSET_SHIFT;
			if (next & EXT_LATER_FRAGMENT) {
				key->ip_proto = proto;
				key->has |= FLUX_HAS_PROTO;
				return 0;
			}
		}
		if (is_extension(proto))
			return 0;
		key->ip_proto = proto;
		key->has |= FLUX_HAS_PROTO;
	} else {
		return 0;
	}
	return read_transport(ctx, off, limit, which) ? off + 8 : 0;
}

/* Not 0 when `value` is outside. Without a branch, as the rest of differs(). */
static __always_inline __u64 outside(__u64 value, __u64 min, __u64 max)
{
	return (value - min) >> 63 | (max - value) >> 63;
}

/*
 * 0 when every field that `row` sets agrees with the datagram. With one branch only, since the
 * verifier follows every way through it.
 */
static __always_inline __u64 differs(const struct flux_match *row, const struct key *key)
{
	__u64 d;

	d = row->need & ~key->has;
	d |= (__u64)row->lack << FLUX_LACK_SHIFT & key->has;
	d |= (row->vlan ^ key->vlan) & row->vlan_mask;
	d |= (row->payload ^ key->payload) & row->payload_mask & key->payload_mask;
	d |= (row->ether_type ^ key->ether_type) & row->ether_mask;
	d |= (row->ether_src[0] ^ key->ether_src[0]) & row->ether_src_mask;
	d |= (row->ether_src[1] ^ key->ether_src[1]) & row->ether_src_mask;
	d |= (row->ether_src[2] ^ key->ether_src[2]) & row->ether_src_mask;
	d |= (row->ip_proto ^ key->ip_proto) & row->proto_mask;
	d |= (row->icmp_type ^ key->icmp_type) & row->icmp_type_mask;
	d |= outside(key->src_port, row->src_port_min, row->src_port_max);
	d |= outside(key->dst_port, row->dst_port_min, row->dst_port_max);
	d |= outside(key->icmp_id, row->icmp_id_min, row->icmp_id_max);
	if (d)
		return d;
	d |= (row->src[0] ^ key->src[0]) & row->src_mask[0];
	d |= (row->src[1] ^ key->src[1]) & row->src_mask[1];
	d |= (row->src[2] ^ key->src[2]) & row->src_mask[2];
	d |= (row->src[3] ^ key->src[3]) & row->src_mask[3];
	d |= (row->dst[0] ^ key->dst[0]) & row->dst_mask[0];
	d |= (row->dst[1] ^ key->dst[1]) & row->dst_mask[1];
	d |= (row->dst[2] ^ key->dst[2]) & row->dst_mask[2];
	d |= (row->dst[3] ^ key->dst[3]) & row->dst_mask[3];
	return d;
}

/*
 * Whether the row `index` of the table `active` takes the packet in the scratch. Global, and told by
 * numbers alone: so the verifier looks at it once, not for every row and every way that leads here.
 * That is most of the time that loading takes.
 */
__noinline int takes(__u64 active, __u64 index)
{
	struct scratch *scratch = get_scratch();
	__u32 which = active & FLUX_SET_TABLE;
	const struct flux_table *table = bpf_map_lookup_elem(&tables, &which);
	const struct flux_match *row;

	if (!scratch || !table)
		return 0;
	row = &table->row[index & (FLUX_MAX_MATCHES - 1)];
	return !differs(row, row->quoted ? &scratch->key[INNER] : &scratch->key[OUTER]);
}

/* Rows that a datagram with this key can match. */
static __always_inline __u32 candidates(const struct flux_bits *bits, const struct key *key)
{
	__u32 rows;

	if (key->has & FLUX_HAS_IPV4)
		rows = bits->by_family[FLUX_FAMILY_IPV4];
	else if (key->has & FLUX_HAS_IPV6)
		rows = bits->by_family[FLUX_FAMILY_IPV6];
	else
		rows = bits->by_family[FLUX_FAMILY_OTHER];
	rows &= key->has & FLUX_HAS_PROTO ? bits->by_proto[key->ip_proto] : bits->no_proto;
	rows &= key->has & FLUX_HAS_ICMP ? bits->by_icmp[key->icmp_type] : bits->no_icmp;
	return rows;
}

/*
 * Whether no row can match, as far as the first header tells. Most packets on a busy interface are
 * somebody else's, and this is all that is done for them. What it cannot tell it leaves to
 * wanted(): headers that are not whole, extension headers, and errors that may quote a packet.
 */
static __always_inline int foreign(struct xdp_md *ctx, const struct flux_table *table, __u64 off,
				   __u16 type)
{
	__u32 family, icmp;
	const __u8 *p;
	__u8 proto;

	if (type == ETH_IP) {
		p = at(ctx, off, 20);
		if (!p)
			return 0;
		proto = p[9];
		family = FLUX_FAMILY_IPV4;
		icmp = PROTO_ICMP;
	} else if (type == ETH_IPV6) {
		p = at(ctx, off, 40);
		if (!p || is_extension(p[6]))
			return 0;
		proto = p[6];
		family = FLUX_FAMILY_IPV6;
		icmp = PROTO_ICMPV6;
	} else {
		return !table->plain.by_family[FLUX_FAMILY_OTHER];
	}
	if (proto == icmp && table->quoted.by_family[family])
		return 0;
	/* A row that takes headers that cannot be read takes those that can, too: it is in both. */
	return !(table->plain.by_family[family] & table->plain.by_proto[proto]);
}

/* The number of the lowest bit that is set: as many bits as there are below it. */
static __always_inline __u32 lowest(__u32 bits)
{
	__u32 below = (bits & -bits) - 1;

	below -= below >> 1 & 0x55555555;
	below = (below & 0x33333333) + (below >> 2 & 0x33333333);
	below = (below + (below >> 4)) & 0x0f0f0f0f;
	return (below * 0x01010101) >> 24;
}

static __always_inline int wanted(struct xdp_md *ctx, const struct flux_table *table, __u32 active)
{
	struct scratch *scratch = get_scratch();
	__u64 off = ETH_HEADER, vlan = 0, quote;
	struct key *outer, *inner;
	const __u8 *p;
	__u32 i, rows;
	__u16 type;

	if (!scratch)
		return 0;
	p = at(ctx, 12, 2);
	if (!p)
		return 0;
	type = be16(p);
	for (i = 0; i < MAX_VLANS; i++) {
		if (type != ETH_8021Q && type != ETH_8021AD)
			break;
		p = at(ctx, off, 4);
		if (!p)
			return 0;
		if (be16(p) & 0xfff)
			vlan = vlan << 32 | (__u32)type << 16 | (be16(p) & 0xfff);
		type = be16(p + 2);
		off += 4;
	}
	if (foreign(ctx, table, off, type))
		return 0;
	outer = &scratch->key[OUTER];
	inner = &scratch->key[INNER];
	__builtin_memset(outer, 0, sizeof(*outer));
	p = at(ctx, 6, 6);
	if (!p)
		return 0;
	__builtin_memcpy(outer->ether_src, p, 6);
	outer->ether_type = type;
	outer->vlan = vlan;
	quote = (__u32)read_datagram(ctx, off, OUTER);
	rows = candidates(&table->plain, outer);
	if (quote && (table->quoted.by_family[FLUX_FAMILY_IPV4] |
		      table->quoted.by_family[FLUX_FAMILY_IPV6])) {
		__builtin_memset(inner, 0, sizeof(*inner));
		inner->ether_type = type;
		inner->vlan = vlan;
		read_datagram(ctx, quote, INNER);
		/* Whether it comes in one piece is asked of the packet. */
		inner->has |= outer->has & FLUX_HAS_FRAGMENT;
		rows |= candidates(&table->quoted, inner);
	}
	for (i = 0; i < FLUX_MAX_MATCHES; i++) {
		if (!rows)
			break;
		if (takes(active, lowest(rows)))
			return 1;
		rows &= rows - 1;
	}
	return 0;
}

/* Writes the time in front of the packet; 0 when there is no room or the driver cannot. */
static __always_inline int stamp(struct xdp_md *ctx, __u64 now)
{
	struct flux_meta *meta;

	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*meta)))
		return 0;
	meta = (void *)(long)ctx->data_meta;
	if ((void *)(meta + 1) > (void *)(long)ctx->data)
		return 0;
	meta->magic = FLUX_META_MAGIC;
	meta->pad = 0;
	meta->rx_ns = now;
	return 1;
}

SEC("xdp")
int flux_redirect(struct xdp_md *ctx)
{
	__u32 zero = 0, queue = ctx->rx_queue_index, active;
	const volatile __u64 *settings_now = bpf_map_lookup_elem(&settings, &zero);
	struct flux_counters *count;
	struct flux_table *table;
	__u64 set, now, closed;

	if (!settings_now)
		return XDP_PASS;
	set = *settings_now;
	/* The shortest way; nothing but failures is counted on it. */
	if (set & FLUX_SET_EVERYTHING && !(set & FLUX_SET_STAMP) &&
	    bpf_redirect_map(&xsks, queue, XDP_PASS) == XDP_REDIRECT)
		return XDP_REDIRECT;
	closed = set & FLUX_SET_CLOSED;
	count = bpf_map_lookup_elem(&counters, &queue);
	/* A queue that came after loading: no socket and no counter, but closed all the same. */
	if (!count && !closed)
		return XDP_PASS;
	if (!(set & FLUX_SET_EVERYTHING)) {
		active = set & FLUX_SET_TABLE;
		table = bpf_map_lookup_elem(&tables, &active);
		if (!table)
			return XDP_PASS;
		if (!wanted(ctx, table, active)) {
			if (count)
				count->passed++;
			return XDP_PASS;
		}
	}
	if (!count)
		return XDP_DROP;
	/*
	 * Only for packets that are ours, since reading the clock takes longer than telling that a
	 * packet is not. So the time includes the match (at most some 200 ns), but not the redirect.
	 */
	now = set & FLUX_SET_STAMP ? bpf_ktime_get_ns() : 0;
	if (bpf_redirect_map(&xsks, queue, XDP_PASS) != XDP_REDIRECT) {
		if (closed) {
			count->dropped++;
			return XDP_DROP;
		}
		count->no_socket++;
		return XDP_PASS;
	}
	if (now && !stamp(ctx, now))
		count->no_meta++;
	count->redirected++;
	return XDP_REDIRECT;
}
