// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The traffic source of `flux bench`: sends every frame it is run on out of one interface.
 *
 * It is attached nowhere. BPF_PROG_TEST_RUN runs it on live frames, which go to the interface's
 * ndo_xdp_xmit without a socket buffer. The frame stays as it is: the kernel reuses its pages, so
 * nothing is written per packet.
 */
#include "flux.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Interface index, in the network namespace of the thread that runs the program. */
const volatile __u32 target;

/* Frames sent. Each loaded copy of the program is run by one thread alone. */
__u64 sent;

SEC("xdp")
int flux_source(struct xdp_md *ctx)
{
	sent++;
	return bpf_redirect(target, 0);
}
