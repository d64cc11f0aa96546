#!/usr/bin/env bash
# Runs the tests of tests/guest in guests, one guest after the other: what `make test-zerocopy` and
# `make test-kernels` do. A summary ends it; what each guest printed stays in target/guest-logs.
#   test.sh zerocopy|kernels [WORD…]    only guests that one of the words names: `6.12`, `igb`
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
# Kernel and NIC of each guest, and the tests it runs. virtio-plain is QEMU's default virtio: its
# driver says that it has zero-copy, and refuses it.
case "${1:-}" in
    zerocopy) guests=("7 virtio zero_copy::" "7 igb zero_copy::" "6.18 virtio zero_copy::"
        "6.18 igb zero_copy::" "7 virtio-plain copy_only::" "7 e1000e copy_only::"
        "7 vmxnet3 copy_only::" "6.12 virtio copy_only::" "6.12 igb copy_only::") ;;
    kernels) guests=("5.10 none kernels::" "6.1 none kernels::" "6.12 none kernels::"
        "6.18 none kernels::" "7 none kernels::") ;;
    *) sed -n '2,4s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
shift
words=("$@")
logs=target/guest-logs
mkdir -p "$logs"
trap 'exit 130' INT TERM

wanted() {
    local word
    [ ${#words[@]} -gt 0 ] || return 0
    for word in "${words[@]}"; do [[ " $1 " != *" $word "* ]] || return 0; done
    return 1
}

scripts/deps.sh build || exit 2
programs=$(cargo test --locked --test guest --no-run --message-format=json |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p') || exit 2
tests=$(grep /deps/guest- <<<"$programs") || exit 2
flux=$(grep '/flux$' <<<"$programs") || exit 2
scripts/guests/fetch.sh tools || exit 2

passed=0 failed=() skipped=()
for guest in "${guests[@]}"; do
    wanted "$guest" || continue
    read -r series nic which <<<"$guest"
    name="kernel $series"
    [ "$nic" = none ] || name="$name, $nic"
    if ! release=$(scripts/guests/fetch.sh kernel "$series" 2>"$logs/fetch"); then
        skipped+=("$name")
        scripts/skip.sh "$name: $(tail -n 1 "$logs/fetch")" || failed+=("$name")
        continue
    fi
    case $nic in virtio*) driver=virtio_net ;; *) driver=$nic ;; esac
    log=$logs/$series-$nic.log
    echo "== $release, $nic"
    start=$SECONDS
    # A test that hangs is ended by the time limit of its guest.
    scripts/guests/run.sh -k "$release" -n "$nic" -t 600 -f "$flux" \
        -e FLUX_GUEST_NIC="$driver" -e FLUX_GUEST_MONITOR=/dev/ttyS2 \
        "$tests" "$which" --test-threads=1 --show-output 2>&1 | tee "$log" |
        grep --line-buffered -E '^(test |SKIP|error|the kernel complained|thread )|^  *(left|right):'
    status=${PIPESTATUS[0]}
    echo "   $((SECONDS - start)) s"
    if [ "$status" -eq 0 ]; then passed=$((passed + 1)); else failed+=("$name (exit $status, $log)"); fi
done

echo "$passed guests passed, ${#failed[@]} failed, ${#skipped[@]} skipped"
for name in "${skipped[@]}"; do echo "SKIP: $name"; done
for name in "${failed[@]}"; do echo "FAIL: $name"; done
# Nothing to run is no success.
[ ${#failed[@]} -eq 0 ] && [ "$passed" -gt 0 ]
