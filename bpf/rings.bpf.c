// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Describes every AF_XDP socket that some process has a descriptor of.
 *
 * It is attached nowhere. Reading the iterator runs it on all descriptors of all tasks; for each
 * that is such a socket it writes one struct flux_socket.
 *
 * The structures below are the kernel's own, cut down to the fields that are used: where those lie
 * is looked up in the running kernel's type information when the program is loaded. A field that
 * not all kernels from 5.10 on have is guarded with bpf_core_field_exists.
 *
 * Nothing is locked. What is read is consistent as far as a field goes, no further; pointers are
 * followed by helpers that give zeroes where there is no memory.
 */
#include "flux.h"
#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define SOCKFS_MAGIC 0x534f434b
#define AF_XDP 44
/* More looks than this at indices that do not fit together: the owner wrote what it should not. */
#define INDEX_LOOKS 4

typedef _Bool bool;
typedef struct {
	int counter;
} atomic_t;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct refcount_struct {
	atomic_t refs;
} refcount_t;

struct list_head {
	struct list_head *next;
};

struct pid_namespace;

struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct pid {
	unsigned int level;
	struct upid numbers[1];
};

struct task_struct {
	struct task_struct *group_leader;
	struct pid *thread_pid;
	char comm[16];
};

struct super_block {
	unsigned long s_magic;
};

struct inode {
	struct super_block *i_sb;
	unsigned long i_ino;
};

struct file {
	struct inode *f_inode;
	void *private_data;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
};

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct sock_common {
	unsigned short skc_family;
	possible_net_t skc_net;
};

struct sock {
	struct sock_common __sk_common;
	unsigned int sk_ll_usec;
	__u16 sk_busy_poll_budget;
	__u8 sk_prefer_busy_poll;
};

struct socket {
	struct sock *sk;
};

struct net_device {
	char name[16];
	int ifindex;
};

struct xdp_ring {
	__u32 producer;
	__u32 consumer;
	__u32 flags;
};

struct xsk_queue {
	__u32 nentries;
	__u32 cached_prod;
	__u32 cached_cons;
	struct xdp_ring *ring;
	__u64 invalid_descs;
	__u64 queue_empty_descs;
};

struct xdp_umem {
	__u64 size;
	__u32 headroom;
	__u32 chunk_size;
	__u32 chunks;
	refcount_t users;
	__u8 flags;
	__u8 tx_metadata_len;
	int id;
};

struct xsk_buff_pool {
	struct xsk_queue *fq;
	struct xsk_queue *cq;
	__u32 chunk_size;
	bool uses_need_wakeup;
};

struct bpf_map {
	__u32 id;
};

struct xdp_sock;

struct xsk_map {
	struct bpf_map map;
	struct xdp_sock *xsk_map[1];
};

struct xsk_map_node {
	struct list_head node;
	struct xsk_map *map;
	struct xdp_sock **map_entry;
};

struct xdp_sock {
	struct sock sk;
	struct xsk_queue *rx;
	struct xsk_queue *tx;
	struct net_device *dev;
	struct xdp_umem *umem;
	struct xsk_buff_pool *pool;
	__u16 queue_id;
	bool zc;
	bool sg;
	/* Without a name, as in the kernel: otherwise it is taken for another type. */
	enum { XSK_READY, XSK_BOUND, XSK_UNBOUND } state;
	__u64 rx_dropped;
	__u64 rx_queue_full;
	struct list_head map_list;
	__u32 max_tx_budget;
	struct xsk_queue *fq_tmp;
	struct xsk_queue *cq_tmp;
};

#pragma clang attribute pop

/* Too large for the stack. One reader at a time: each loads a program of its own. */
struct flux_socket record;

static __always_inline void read_ring(struct flux_ring *out, struct xsk_queue *queue)
{
	struct xdp_ring *ring;
	int i;

	if (!queue)
		return;
	ring = BPF_CORE_READ(queue, ring);
	if (!ring)
		return;
	out->present = 1;
	out->size = BPF_CORE_READ(queue, nentries);
	out->cached_prod = BPF_CORE_READ(queue, cached_prod);
	out->cached_cons = BPF_CORE_READ(queue, cached_cons);
	out->flags = BPF_CORE_READ(ring, flags);
	/*
	 * The consumer first, so that there are never less than no entries. When both ends move on
	 * in between there may seem to be more than fit: then again.
	 */
	for (i = 0; i < INDEX_LOOKS; i++) {
		out->consumer = BPF_CORE_READ(ring, consumer);
		out->producer = BPF_CORE_READ(ring, producer);
		if (out->producer - out->consumer <= out->size)
			break;
	}
}

static __always_inline void read_umem(struct xdp_umem *umem, struct xsk_buff_pool *pool)
{
	record.known |= FLUX_KNOWN_UMEM;
	record.umem_id = BPF_CORE_READ(umem, id);
	record.umem_size = BPF_CORE_READ(umem, size);
	record.umem_headroom = BPF_CORE_READ(umem, headroom);
	record.umem_users = BPF_CORE_READ(umem, users.refs.counter);
	record.umem_flags = BPF_CORE_READ(umem, flags);
	if (bpf_core_field_exists(umem->chunks)) {
		record.umem_chunks = BPF_CORE_READ(umem, chunks);
		record.known |= FLUX_KNOWN_CHUNKS;
	}
	if (bpf_core_field_exists(umem->chunk_size)) {
		record.umem_chunk_size = BPF_CORE_READ(umem, chunk_size);
		record.known |= FLUX_KNOWN_CHUNK_SIZE;
	} else if (pool) {
		record.umem_chunk_size = BPF_CORE_READ(pool, chunk_size);
		record.known |= FLUX_KNOWN_CHUNK_SIZE;
	}
	if (bpf_core_field_exists(umem->tx_metadata_len)) {
		record.tx_metadata = BPF_CORE_READ(umem, tx_metadata_len);
		record.known |= FLUX_KNOWN_TX_METADATA;
	}
}

/* In which XSKMAPs the socket is. */
static __always_inline void read_maps(struct xdp_sock *xs)
{
	void *end = __builtin_preserve_access_index(&xs->map_list);
	void *at = BPF_CORE_READ(xs, map_list.next);
	int i;

	for (i = 0; i < FLUX_MAX_MAP_SLOTS; i++) {
		struct xsk_map_node *node = at;
		struct xsk_map *map;
		void *first, *entry;

		if (!at || at == end)
			break;
		map = BPF_CORE_READ(node, map);
		entry = BPF_CORE_READ(node, map_entry);
		if (!map)
			break;
		first = __builtin_preserve_access_index(&map->xsk_map);
		record.map[i].id = BPF_CORE_READ(map, map.id);
		record.map[i].key = (entry - first) / sizeof(void *);
		record.maps = i + 1;
		/* The list's own node is the first field of what it links. */
		at = BPF_CORE_READ(node, node.next);
	}
	record.known |= FLUX_KNOWN_MAPS;
}

static __always_inline void read_options(struct sock *sk, struct xdp_sock *xs)
{
	if (bpf_core_field_exists(xs->sg)) {
		record.sg = BPF_CORE_READ(xs, sg);
		record.known |= FLUX_KNOWN_SG;
	}
	if (bpf_core_field_exists(xs->max_tx_budget)) {
		record.tx_budget = BPF_CORE_READ(xs, max_tx_budget);
		record.known |= FLUX_KNOWN_TX_BUDGET;
	}
	if (bpf_core_field_exists(sk->sk_prefer_busy_poll)) {
		record.prefer_busy_poll = BPF_CORE_READ(sk, sk_prefer_busy_poll);
		record.known |= FLUX_KNOWN_PREFER_BUSY_POLL;
	}
	if (bpf_core_field_exists(sk->sk_ll_usec)) {
		record.busy_poll_us = BPF_CORE_READ(sk, sk_ll_usec);
		record.known |= FLUX_KNOWN_BUSY_POLL_US;
	}
	if (bpf_core_field_exists(sk->sk_busy_poll_budget)) {
		record.busy_poll_budget = BPF_CORE_READ(sk, sk_busy_poll_budget);
		record.known |= FLUX_KNOWN_BUSY_POLL_BUDGET;
	}
}

static __always_inline void read_socket(struct xdp_sock *xs)
{
	struct xsk_queue *rx = BPF_CORE_READ(xs, rx);
	struct xsk_queue *tx = BPF_CORE_READ(xs, tx);
	struct xsk_queue *fill = 0, *comp = 0;
	struct xsk_buff_pool *pool = 0;
	struct xdp_umem *umem = BPF_CORE_READ(xs, umem);

	record.state = BPF_CORE_READ(xs, state);
	record.queue = BPF_CORE_READ(xs, queue_id);
	record.zero_copy = BPF_CORE_READ(xs, zc);
	/* In any other state the pointer may lead to an interface that is gone. */
	if (record.state == XSK_BOUND) {
		struct net_device *dev = BPF_CORE_READ(xs, dev);

		record.ifindex = BPF_CORE_READ(dev, ifindex);
		BPF_CORE_READ_STR_INTO(&record.ifname, dev, name);
	}
	/* The socket's own until it is bound, then the pool's. */
	if (bpf_core_field_exists(xs->fq_tmp)) {
		fill = BPF_CORE_READ(xs, fq_tmp);
		comp = BPF_CORE_READ(xs, cq_tmp);
	}
	if (bpf_core_field_exists(xs->pool))
		pool = BPF_CORE_READ(xs, pool);
	if (pool) {
		if (!fill)
			fill = BPF_CORE_READ(pool, fq);
		if (!comp)
			comp = BPF_CORE_READ(pool, cq);
		if (bpf_core_field_exists(pool->uses_need_wakeup)) {
			record.uses_need_wakeup = BPF_CORE_READ(pool, uses_need_wakeup);
			record.known |= FLUX_KNOWN_NEED_WAKEUP;
		}
	}
	if (umem)
		read_umem(umem, pool);
	read_options((struct sock *)xs, xs);
	read_maps(xs);

	record.counters[0] = BPF_CORE_READ(xs, rx_dropped);
	record.counters[1] = rx ? BPF_CORE_READ(rx, invalid_descs) : 0;
	record.counters[2] = tx ? BPF_CORE_READ(tx, invalid_descs) : 0;
	if (bpf_core_field_exists(xs->rx_queue_full) &&
	    bpf_core_field_exists(rx->queue_empty_descs)) {
		record.counters[3] = BPF_CORE_READ(xs, rx_queue_full);
		record.counters[4] = fill ? BPF_CORE_READ(fill, queue_empty_descs) : 0;
		record.counters[5] = tx ? BPF_CORE_READ(tx, queue_empty_descs) : 0;
		record.known |= FLUX_KNOWN_COUNTERS;
	}
	/* What rates are made of, and so next to the time. */
	read_ring(&record.rx, rx);
	read_ring(&record.tx, tx);
	read_ring(&record.fill, fill);
	read_ring(&record.comp, comp);
	record.time_ns = bpf_ktime_get_ns();
}

/* Process id of `leader` as the reader's pid namespace numbers it; the reader runs this. */
static __always_inline __u32 read_pid(struct task_struct *leader)
{
	struct task_struct *reader = (void *)bpf_get_current_task();
	unsigned int level = BPF_CORE_READ(reader, thread_pid, level);
	struct pid *pid = BPF_CORE_READ(leader, thread_pid);
	struct upid *upid;
	void *numbers;

	if (!pid)
		return 0;
	numbers = __builtin_preserve_access_index(&pid->numbers);
	upid = numbers + level * bpf_core_type_size(struct upid);
	return BPF_CORE_READ(upid, nr);
}

SEC("iter/task_file")
int flux_rings(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task, *leader;
	struct file *file = ctx->file;
	struct socket *socket;
	struct sock *sk;

	if (!task || !file || file->f_inode->i_sb->s_magic != SOCKFS_MAGIC)
		return 0;
	socket = file->private_data;
	sk = BPF_CORE_READ(socket, sk);
	if (!sk || BPF_CORE_READ(sk, __sk_common.skc_family) != AF_XDP)
		return 0;

	__builtin_memset(&record, 0, sizeof(record));
	record.magic = FLUX_SOCKET_MAGIC;
	record.inode = file->f_inode->i_ino;
	leader = task->group_leader;
	record.pid = read_pid(leader);
	record.fd = ctx->fd;
	record.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	BPF_CORE_READ_STR_INTO(&record.comm, leader, comm);
	read_socket((struct xdp_sock *)sk);
	bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	return 0;
}
