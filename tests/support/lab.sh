#!/bin/sh
# The network of tests/support/lab/mod.rs for a shell:
#
#   flux-lab                                        flux-lab-peer
#   flux0  02:00:00:00:09:01                        flux1  02:00:00:00:09:02
#          10.9.0.1/24  fd09::1/64  <-- veth -->           10.9.0.2/24  fd09::2/64
#
#   lab.sh up          make it (QUEUES=n: queues of each end, 2 unless told)
#   lab.sh shell       stand in it and look
#   lab.sh run CMD…    run a command in it
#   lab.sh peer CMD…   run a command on the other end
#   lab.sh down        remove it
set -eu

ours=flux-lab
peer=flux-lab-peer
queues=${QUEUES:-2}

up() {
    for ns in "$ours" "$peer"; do
        ip netns add "$ns"
        ip netns exec "$ns" sysctl -qw net.ipv6.conf.default.accept_dad=0 \
            net.ipv6.conf.default.router_solicitations=0 net.ipv6.conf.default.accept_ra=0
        ip -n "$ns" link set lo up
    done
    ip -n "$ours" link add flux0 address 02:00:00:00:09:01 \
        numtxqueues "$queues" numrxqueues "$queues" type veth \
        peer name flux1 address 02:00:00:00:09:02 \
        numtxqueues "$queues" numrxqueues "$queues" netns "$peer"
    end "$ours" flux0 1 2
    end "$peer" flux1 2 1
}

# end NAMESPACE INTERFACE OWN OTHER: one end of the pair, with a permanent neighbour.
end() {
    ip -n "$1" link set "$2" addrgenmode none up
    ip -n "$1" addr add "10.9.0.$3/24" dev "$2"
    ip -n "$1" addr add "fd09::$3/64" dev "$2" nodad
    ip -n "$1" neigh replace "10.9.0.$4" lladdr "02:00:00:00:09:0$4" dev "$2" nud permanent
    ip -n "$1" neigh replace "fd09::$4" lladdr "02:00:00:00:09:0$4" dev "$2" nud permanent
    # Checksums in full: XDP sees what is on the wire.
    ip netns exec "$1" ethtool -K "$2" tx off rx off tso off gso off gro off >/dev/null 2>&1 ||
        echo "lab: offloads of $2 unchanged (ethtool)" >&2
}

down() {
    for ns in "$ours" "$peer"; do
        if [ -e "/run/netns/$ns" ]; then ip netns del "$ns"; fi
    done
}

case "${1:-}" in
up)
    if [ -e "/run/netns/$ours" ] || [ -e "/run/netns/$peer" ]; then
        echo "lab: it is up already; \`$0 down\` removes it" >&2
        exit 1
    fi
    status=0
    trap 'status=$?; [ $status = 0 ] || down; exit $status' EXIT
    up
    ;;
down) down ;;
shell) exec ip netns exec "$ours" "${SHELL:-/bin/sh}" ;;
run)
    shift
    exec ip netns exec "$ours" "$@"
    ;;
peer)
    shift
    exec ip netns exec "$peer" "$@"
    ;;
*)
    sed -n '2,12s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
