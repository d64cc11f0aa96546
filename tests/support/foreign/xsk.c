/*
 * A small AF_XDP program that shares no code with the library: raw system calls, its own rings,
 * its own XDP program. The tests look at it from outside, and it says what it did itself.
 *
 *   xsk IFACE [option=value]...
 *     mode=quiet|drop|norefill|noread|leak|txstuck|tx   what it does (quiet)
 *     every=N        leak: lose each Nth frame that it receives (100)
 *     pps=N          tx: frames per second, 0 is as fast as it goes (0)
 *     queue=N        NIC queue (0)              key=N     key in the XSKMAP (the queue)
 *     size=N         size of all four rings (2048), or each by rx=N tx=N fill=N comp=N;
 *                    rx=0 or tx=0 makes none
 *     frames=N       frames of the UMEM (4096)  frame=N   bytes of each (2048)
 *     rxframes=N     of these for reception (half, at most the size of the fill ring)
 *     headroom=N     bytes (0)
 *     attach=0|1     an XDP program that redirects to the socket (1 where there is an RX ring)
 *     skb=0|1        generic instead of native mode (0)
 *     wakeup=0|1     XDP_USE_NEED_WAKEUP (1)
 *     bind=0|1       0: make the socket and its rings, and never bind (1)
 *     budget=N       SO_PREFER_BUSY_POLL with this SO_BUSY_POLL_BUDGET and 20 us (0: off)
 *     seconds=N      SIGALRM ends it then, whatever happens (600)
 *
 * Each line on stdin is one of: a mode, "leak N", "pps N", "send N" (tx: N frames and no more),
 * "stats". Each gets one line of JSON on stdout, the first of which says that the socket is up. It
 * ends when stdin closes.
 *
 * A frame is in one of the rings, on its way in the kernel, in `spare`, or lost on purpose.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#define SO_BUSY_POLL_BUDGET 70
#endif

#define BATCH 64
#define FRAME_LEN 60
/* How long a queue may be taken by an owner that has gone: a busy machine is slow to let it go. */
#define BIND_PATIENCE_NS 60000000000ull

struct ring {
	uint32_t *producer, *consumer, *flags;
	void *slots;
	uint32_t size;
};

enum mode { QUIET, DROP, NOREFILL, NOREAD, LEAK, TXSTUCK, TX, MODES };
static const char *const names[MODES] = { "quiet", "drop", "norefill", "noread",
					  "leak", "txstuck", "tx" };

static struct ring rx, tx, fill, comp;
static int xsk;
static unsigned char *umem;
static uint32_t frames, frame_size;
static uint64_t *spare;
static uint32_t spares;
/* How many frames are meant for reception, and how many of them are in it. */
static uint32_t rx_target, rx_out;
static uint64_t received, sent, refilled, completed, lost;
static uint32_t every = 100;
static uint64_t pps, due_ns, due_count;
/* How many more frames may be sent. */
static uint64_t quota = UINT64_MAX;
static enum mode mode = QUIET;
/* Headers of the frames to send: an address of nobody, so that no kernel answers. */
static unsigned char packet[FRAME_LEN] = {
	2, 0, 0, 0, 0, 0x99, 2, 0, 0, 0, 0, 0x98, 8, 0,
	0x45, 0, 0, FRAME_LEN - 14, 0, 0, 0, 0, 64, 17, 0, 0, 10, 9, 0, 1, 10, 9, 0, 2,
	0, 9, 0, 9, 0, FRAME_LEN - 34, 0, 0,
};

static void die(const char *what)
{
	fprintf(stderr, "xsk: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static int bpf(int command, union bpf_attr *attr)
{
	return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

static void option(int level, int name, const void *value, socklen_t len, const char *what)
{
	if (setsockopt(xsk, level, name, value, len))
		die(what);
}

static void map_ring(struct ring *ring, uint32_t size, size_t slot, int sockopt,
		     const struct xdp_ring_offset *offset, uint64_t place)
{
	unsigned char *base;

	if (!size)
		return;
	option(SOL_XDP, sockopt, &size, sizeof(size), "size of a ring");
	base = mmap(NULL, offset->desc + size * slot, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_POPULATE, xsk, place);
	if (base == MAP_FAILED)
		die("mmap of a ring");
	ring->producer = (uint32_t *)(base + offset->producer);
	ring->consumer = (uint32_t *)(base + offset->consumer);
	ring->flags = (uint32_t *)(base + offset->flags);
	ring->slots = base + offset->desc;
	ring->size = size;
}

/* Entries that the producer may write: its own index needs no order. */
static uint32_t room(const struct ring *ring)
{
	return ring->size ? ring->size - (*ring->producer -
		__atomic_load_n(ring->consumer, __ATOMIC_ACQUIRE)) : 0;
}

/* Entries that the consumer may read. */
static uint32_t there(const struct ring *ring)
{
	return ring->size ?
		__atomic_load_n(ring->producer, __ATOMIC_ACQUIRE) - *ring->consumer : 0;
}

static void produced(struct ring *ring, uint32_t count)
{
	__atomic_store_n(ring->producer, *ring->producer + count, __ATOMIC_RELEASE);
}

static void consumed(struct ring *ring, uint32_t count)
{
	__atomic_store_n(ring->consumer, *ring->consumer + count, __ATOMIC_RELEASE);
}

static int wants_wakeup(const struct ring *ring)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(ring->flags, __ATOMIC_RELAXED) & XDP_RING_NEED_WAKEUP;
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static void refill(void)
{
	uint32_t count = rx_out < rx_target ? rx_target - rx_out : 0, i;

	count = least(least(count, spares), room(&fill));
	for (i = 0; i < count; i++)
		((uint64_t *)fill.slots)[(*fill.producer + i) & (fill.size - 1)] = spare[--spares];
	if (!count)
		return;
	produced(&fill, count);
	rx_out += count;
	refilled += count;
	if (wants_wakeup(&fill))
		recvfrom(xsk, NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

static uint32_t receive(void)
{
	uint32_t count = least(there(&rx), BATCH), i;

	for (i = 0; i < count; i++) {
		struct xdp_desc *desc = (struct xdp_desc *)rx.slots +
			((*rx.consumer + i) & (rx.size - 1));

		rx_out--;
		received++;
		if (mode == LEAK && received % every == 0) {
			lost++;
			rx_target--;
		} else {
			spare[spares++] = desc->addr / frame_size * frame_size;
		}
	}
	if (count)
		consumed(&rx, count);
	return count;
}

static uint32_t reap(void)
{
	uint32_t count = there(&comp), i;

	for (i = 0; i < count; i++)
		spare[spares++] = ((uint64_t *)comp.slots)[(*comp.consumer + i) & (comp.size - 1)]
			/ frame_size * frame_size;
	if (count)
		consumed(&comp, count);
	completed += count;
	return count;
}

static uint32_t transmit(uint32_t most)
{
	uint32_t count = least(least(room(&tx), spares), most), i;

	for (i = 0; i < count; i++) {
		struct xdp_desc *desc = (struct xdp_desc *)tx.slots +
			((*tx.producer + i) & (tx.size - 1));

		desc->addr = spare[--spares];
		desc->len = FRAME_LEN;
		desc->options = 0;
		memcpy(umem + desc->addr, packet, FRAME_LEN);
	}
	if (count)
		produced(&tx, count);
	sent += count;
	return count;
}

/* How many frames may go now. */
static uint32_t allowed(void)
{
	uint64_t now, due;

	if (!pps)
		return quota < BATCH ? quota : BATCH;
	now = now_ns();
	/* After a pause it does not make up for what it missed. */
	if (!due_ns || now - due_ns > 100000000) {
		due_ns = now;
		due_count = 0;
	}
	due = (now - due_ns) * pps / 1000000000 - due_count;
	if (due > BATCH)
		due = BATCH;
	return quota < due ? quota : due;
}

/* Does a bit of work; returns whether there may be more right now. */
static int work(void)
{
	uint32_t count;

	switch (mode) {
	case DROP:
	case LEAK:
		count = receive();
		refill();
		return count > 0;
	case NOREFILL:
		return receive() > 0;
	case TXSTUCK:
		transmit(tx.size);
		return 0;
	case TX:
		reap();
		count = transmit(allowed());
		due_count += count;
		quota -= count;
		if (due_ns && now_ns() - due_ns > 50000000) {
			/* The moment to which exactly these were due. */
			due_ns += pps ? due_count * 1000000000 / pps : 0;
			due_count = 0;
		}
		if (there(&tx) && wants_wakeup(&tx))
			sendto(xsk, NULL, 0, MSG_DONTWAIT, NULL, 0);
		return pps ? count == BATCH : quota || there(&tx);
	default:
		return 0;
	}
}

static void print_ring(const char *name, const struct ring *ring)
{
	if (!ring->size) {
		printf(",\"%s\":null", name);
		return;
	}
	printf(",\"%s\":{\"size\":%u,\"producer\":%u,\"consumer\":%u,\"flags\":%u}", name, ring->size,
	       __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE),
	       __atomic_load_n(ring->consumer, __ATOMIC_ACQUIRE), *ring->flags);
}

static void print_state(const char *event)
{
	struct xdp_statistics stats = { 0 };
	socklen_t len = sizeof(stats);

	getsockopt(xsk, SOL_XDP, XDP_STATISTICS, &stats, &len);
	printf("{\"event\":\"%s\",\"time_ns\":%llu,\"pid\":%d,\"fd\":%d,\"mode\":\"%s\"", event,
	       (unsigned long long)now_ns(), getpid(), xsk, names[mode]);
	printf(",\"received\":%llu,\"sent\":%llu,\"refilled\":%llu,\"completed\":%llu,\"lost\":%llu",
	       (unsigned long long)received, (unsigned long long)sent, (unsigned long long)refilled,
	       (unsigned long long)completed, (unsigned long long)lost);
	printf(",\"spare\":%u", spares);
	print_ring("rx", &rx);
	print_ring("tx", &tx);
	print_ring("fill", &fill);
	print_ring("comp", &comp);
	printf(",\"rx_dropped\":%llu,\"rx_invalid_descs\":%llu,\"tx_invalid_descs\":%llu,"
	       "\"rx_ring_full\":%llu,\"rx_fill_ring_empty_descs\":%llu,"
	       "\"tx_ring_empty_descs\":%llu}\n",
	       (unsigned long long)stats.rx_dropped, (unsigned long long)stats.rx_invalid_descs,
	       (unsigned long long)stats.tx_invalid_descs, (unsigned long long)stats.rx_ring_full,
	       (unsigned long long)stats.rx_fill_ring_empty_descs,
	       (unsigned long long)stats.tx_ring_empty_descs);
	fflush(stdout);
}

static int set_mode(const char *name)
{
	int i;

	for (i = 0; i < MODES; i++) {
		if (!strcmp(names[i], name)) {
			mode = i;
			return 1;
		}
	}
	return 0;
}

static void obey(char *line)
{
	char *number = strchr(line, ' ');

	if (number)
		*number++ = 0;
	if (!strcmp(line, "leak") && number)
		every = atoi(number) > 0 ? atoi(number) : 1;
	if (!strcmp(line, "pps") && number) {
		pps = strtoull(number, NULL, 10);
		due_ns = 0;
	} else if (!strcmp(line, "send") && number) {
		quota = strtoull(number, NULL, 10);
		mode = TX;
	} else if (strcmp(line, "stats") && !set_mode(line)) {
		printf("{\"event\":\"error\",\"unknown\":\"%s\"}\n", line);
		fflush(stdout);
		return;
	}
	print_state(line);
}

/* Reads what there is; returns 0 when stdin has closed. */
static int listen_to_stdin(void)
{
	static char text[256];
	static size_t have;
	ssize_t got = read(0, text + have, sizeof(text) - 1 - have);
	char *end;

	if (got <= 0)
		return 0;
	have += got;
	text[have] = 0;
	while ((end = strchr(text, '\n'))) {
		*end = 0;
		obey(text);
		have -= end + 1 - text;
		memmove(text, end + 1, have + 1);
	}
	return have < sizeof(text) - 1;
}

/* The XDP program: redirect to the socket at the queue's key, pass where there is none. */
static void attach(int ifindex, int skb, uint32_t key)
{
	struct bpf_insn code[] = {
		{ .code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 2, .src_reg = 1,
		  .off = offsetof(struct xdp_md, rx_queue_index) },
		{ .code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD },
		{ 0 }, /* the other half of the load */
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect_map },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr;
	uint32_t value = xsk;
	int map, program;

	memset(&attr, 0, sizeof(attr));
	attr.map_type = BPF_MAP_TYPE_XSKMAP;
	attr.key_size = attr.value_size = 4;
	attr.max_entries = 64;
	map = bpf(BPF_MAP_CREATE, &attr);
	if (map < 0)
		die("XSKMAP");
	memset(&attr, 0, sizeof(attr));
	attr.map_fd = map;
	attr.key = (uintptr_t)&key;
	attr.value = (uintptr_t)&value;
	if (bpf(BPF_MAP_UPDATE_ELEM, &attr))
		die("XSKMAP update");
	code[1].imm = map;
	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_XDP;
	attr.insns = (uintptr_t)code;
	attr.insn_cnt = sizeof(code) / sizeof(code[0]);
	attr.license = (uintptr_t)"Dual BSD/GPL";
	strcpy(attr.prog_name, "foreign_xsk");
	program = bpf(BPF_PROG_LOAD, &attr);
	if (program < 0)
		die("XDP program");
	memset(&attr, 0, sizeof(attr));
	attr.link_create.prog_fd = program;
	attr.link_create.target_ifindex = ifindex;
	attr.link_create.attach_type = BPF_XDP;
	attr.link_create.flags = skb ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
	/* The link goes with the process. */
	if (bpf(BPF_LINK_CREATE, &attr) < 0)
		die("attach");
}

static unsigned long chosen(int argc, char **argv, const char *name, unsigned long otherwise)
{
	size_t len = strlen(name);
	int i;

	for (i = 2; i < argc; i++)
		if (!strncmp(argv[i], name, len) && argv[i][len] == '=')
			return strtoul(argv[i] + len + 1, NULL, 0);
	return otherwise;
}

static void ip_checksum(void)
{
	uint32_t sum = 0;
	int i;

	for (i = 14; i < 34; i += 2)
		sum += packet[i] << 8 | packet[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~(sum + (sum >> 16));
	packet[24] = sum >> 8;
	packet[25] = sum;
}

int main(int argc, char **argv)
{
	struct xdp_mmap_offsets offsets;
	struct xdp_umem_reg reg = { 0 };
	struct sockaddr_xdp address = { .sxdp_family = AF_XDP };
	socklen_t len = sizeof(offsets);
	uint32_t size, budget, i, rounds = 0;
	uint64_t began;
	int ifindex;

#define OPTION(name, otherwise) chosen(argc, argv, name, otherwise)
	if (argc < 2) {
		fprintf(stderr, "usage: xsk IFACE [option=value]...\n");
		return 2;
	}
	for (i = 2; i < (uint32_t)argc; i++) {
		if (!strncmp(argv[i], "mode=", 5) && !set_mode(argv[i] + 5)) {
			fprintf(stderr, "xsk: no such mode: %s\n", argv[i] + 5);
			return 2;
		}
	}
	alarm(OPTION("seconds", 600));
	ip_checksum();
	ifindex = if_nametoindex(argv[1]);
	if (!ifindex)
		die(argv[1]);
	size = OPTION("size", 2048);
	frames = OPTION("frames", 4096);
	frame_size = OPTION("frame", 2048);
	every = OPTION("every", 100);
	pps = OPTION("pps", 0);
	budget = OPTION("budget", 0);

	umem = mmap(NULL, (size_t)frames * frame_size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	spare = calloc(frames, sizeof(*spare));
	if (umem == MAP_FAILED || !spare)
		die("memory");
	xsk = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (xsk < 0)
		die("socket");
	reg.addr = (uintptr_t)umem;
	reg.len = (uint64_t)frames * frame_size;
	reg.chunk_size = frame_size;
	reg.headroom = OPTION("headroom", 0);
	option(SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg), "XDP_UMEM_REG");
	if (getsockopt(xsk, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &len))
		die("XDP_MMAP_OFFSETS");
	map_ring(&fill, OPTION("fill", size), 8, XDP_UMEM_FILL_RING, &offsets.fr,
		 XDP_UMEM_PGOFF_FILL_RING);
	map_ring(&comp, OPTION("comp", size), 8, XDP_UMEM_COMPLETION_RING, &offsets.cr,
		 XDP_UMEM_PGOFF_COMPLETION_RING);
	map_ring(&rx, OPTION("rx", size), sizeof(struct xdp_desc), XDP_RX_RING, &offsets.rx,
		 XDP_PGOFF_RX_RING);
	map_ring(&tx, OPTION("tx", size), sizeof(struct xdp_desc), XDP_TX_RING, &offsets.tx,
		 XDP_PGOFF_TX_RING);
	if (budget) {
		int on = 1, micros = 20;

		option(SOL_SOCKET, SO_PREFER_BUSY_POLL, &on, 4, "SO_PREFER_BUSY_POLL");
		option(SOL_SOCKET, SO_BUSY_POLL, &micros, 4, "SO_BUSY_POLL");
		option(SOL_SOCKET, SO_BUSY_POLL_BUDGET, &budget, 4, "SO_BUSY_POLL_BUDGET");
	}
	for (i = 0; i < frames; i++)
		spare[spares++] = (uint64_t)(frames - 1 - i) * frame_size;
	rx_target = OPTION("rxframes", rx.size ? least(frames / 2, fill.size) : 0);
	refill();

	address.sxdp_ifindex = ifindex;
	address.sxdp_queue_id = OPTION("queue", 0);
	address.sxdp_flags = XDP_COPY | (OPTION("wakeup", 1) ? XDP_USE_NEED_WAKEUP : 0);
	if (OPTION("bind", 1)) {
		began = now_ns();
		while (bind(xsk, (struct sockaddr *)&address, sizeof(address))) {
			if (errno != EBUSY || now_ns() - began > BIND_PATIENCE_NS)
				die("bind");
			poll(NULL, 0, 5);
		}
		if (OPTION("attach", rx.size != 0))
			attach(ifindex, OPTION("skb", 0), OPTION("key", address.sxdp_queue_id));
	}
	print_state("ready");

	for (;;) {
		/* Polling the socket would kick TX, and with RX entries left it would not wait. */
		int both = mode == DROP || mode == LEAK || mode == NOREFILL;
		struct pollfd ready[2] = { { .fd = 0, .events = POLLIN },
					   { .fd = xsk, .events = POLLIN } };
		struct timespec wait = { 0, mode == TX ? 200000 : 20000000 };

		if (work()) {
			if (++rounds % 256)
				continue;
			wait.tv_nsec = 0;
		}
		if (ppoll(ready, both ? 2 : 1, &wait, NULL) < 0 && errno != EINTR)
			die("poll");
		if (ready[0].revents && !listen_to_stdin())
			return 0;
	}
}
